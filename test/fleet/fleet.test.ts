/** A fleet in a box, a small one: the acts of `scripts/fleet.ts`, each of which throws where it is not as promised. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { MOSQUITTO, WITHOUT_MOSQUITTO } from '../kit/mosquitto.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(600_000)

const SCRIPT = join(import.meta.dir, '../../scripts/fleet.ts')
const DEVICES = 100

interface Act {
  readonly act: string
  readonly [figure: string]: unknown
}

async function play(): Promise<{ exitCode: number; acts: Act[]; stderr: string }> {
  const child = Bun.spawn(
    [
      ...[process.execPath, SCRIPT, '--devices', String(DEVICES), '--json'],
      ...['--heartbeat-seconds', '5', '--steady-seconds', '10'],
      // Whoever else this machine works for.
      ...['--p95-ms-max', '60000'],
    ],
    { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
  )
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'))
  return { exitCode, acts: lines.map((line) => JSON.parse(line) as Act), stderr }
}

describe.skipIf(MOSQUITTO === null)(`a hundred devices over Mosquitto${WITHOUT_MOSQUITTO}`, () => {
  test('get what is assigned and rolled out while registry and broker are killed, and a bad version no further than its first wave', async () => {
    const { exitCode, acts, stderr } = await play()
    expect(`${exitCode} ${stderr}`).toBe('0 ')
    expect(acts.map(({ act }) => act)).toEqual([
      'enrolled',
      'arrived',
      'a first version on all',
      'steady state',
      'a second version on all, and the registry killed in the middle',
      'back after the broker was killed',
      'reconnect storm',
      'a rollout of four waves, the registry killed in the second and the broker in the third',
      'a bad version, stopped and taken back',
      'nothing wrong was decided',
    ])
    const figures = new Map(acts.map((act) => [act.act, act]))
    expect(figures.get('steady state')).toMatchObject({ heartbeats_lost: 0 })
    expect(Number(figures.get('steady state')?.['heartbeats_sent'])).toBeGreaterThan(0)
    const bad = figures.get('a bad version, stopped and taken back')
    expect(Number(bad?.['touched'])).toBeLessThanOrEqual(Number(bad?.['first_wave']))
    expect(figures.get('nothing wrong was decided')).toMatchObject({ histories_compared: DEVICES })
  })
})
