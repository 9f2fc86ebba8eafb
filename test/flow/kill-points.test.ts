/**
 * The agent killed at its durable writes, one after the other, and with it the whole device, as a power cut does it. All of
 * them with LIMPET_KILL_POINTS=all, which takes a quarter of an hour; else a few, others each time.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { cp, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Status } from '../../src/app/agent/status.ts'
import { BINARY, cleanEnvironment, createFolder, type Running, startServing } from '../kit/binary.ts'
import { SEED } from '../kit/seed.ts'
import { type Device, eventually, Fleet } from './fleet.ts'
import { answeringLarge, askScale, scaling } from './versions.ts'

const isWhole = process.env['LIMPET_KILL_POINTS'] === 'all'
setDefaultTimeout(isWhole ? 7_200_000 : 300_000)
const SAMPLES = 4
const BODY_BYTES_MAX = 1024

const folder = await createFolder()
let fleet: Fleet

beforeAll(async () => {
  fleet = await Fleet.start(folder.path)
  await fleet.publish(scaling(1))
  await fleet.publish(scaling(2))
  // Its golden sample is more than the data plane takes as a request: fit in the probe, and wrong once it serves.
  await fleet.publish(scaling(3, answeringLarge(3)))
})

afterAll(async () => {
  await fleet.registry.stop()
  await folder.remove()
})

/** A device, process by process: each of them can be killed by itself. */
class Bench {
  readonly device: Device
  #serve: Running | undefined
  #agent: Bun.Subprocess | undefined

  constructor(device: Device) {
    this.device = device
  }

  get url(): string {
    return this.#serve?.url ?? ''
  }

  async startServe(): Promise<void> {
    await mkdir(join(this.device.state, 'models'), { recursive: true })
    const socket = join(this.device.state, 'serve.sock')
    this.#serve = await startServing(this.device.home, {
      command: [
        BINARY,
        'serve',
        '--models',
        join(this.device.state, 'models'),
        '--unix-socket',
        socket,
        '--port',
        '0',
        '--config',
        await this.#config(),
      ],
    })
  }

  async #config(): Promise<string> {
    const path = join(this.device.home, 'serve.toml')
    await Bun.write(path, `[http]\nbody_bytes_max = ${BODY_BYTES_MAX}`)
    return path
  }

  startAgent(env: Record<string, string> = {}): void {
    this.#agent = Bun.spawn([BINARY, 'agent'], {
      cwd: this.device.home,
      env: { ...cleanEnvironment(this.device.home), ...env },
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: Bun.file(join(this.device.home, 'agent.log')),
    })
  }

  /** By itself or by a crash point, unless the update has ended first. */
  async untilKilledOrEnded(version: string): Promise<'killed' | 'ended'> {
    const agent = this.#agent
    return await eventually('the agent is killed, or the update has ended', async () => {
      if (agent?.exitCode !== null || agent.signalCode !== null) {
        if (agent?.signalCode === 'SIGKILL') return 'killed'
        throw new Error(`The agent ended with ${agent?.exitCode}: ${await this.log()}`)
      }
      return (await this.#endedAs(version)) === undefined ? undefined : 'ended'
    })
  }

  async untilEnded(version: string): Promise<string> {
    return await eventually('the update has ended', () => this.#endedAs(version))
  }

  async #endedAs(version: string): Promise<string | undefined> {
    const answer = await fetch('http://localhost/status', {
      unix: join(this.device.state, 'agent.sock'),
    } as RequestInit).catch(() => undefined)
    if (answer === undefined) return undefined
    const { models } = Status.parse(await answer.json())
    const update = models.find(({ model }) => model === 'vision/scale')?.update
    const isEnded = ['committed', 'rejected', 'failed', 'reverted', 'stuck'].includes(update?.state ?? '')
    return update?.version === version && isEnded ? update.state : undefined
  }

  /** As a power cut: everything at once. */
  async cut(): Promise<void> {
    const agent = this.#agent
    if (agent !== undefined) void agent.kill('SIGKILL')
    await Promise.all([agent?.exited, this.#serve?.stop('SIGKILL')])
    this.#agent = undefined
    this.#serve = undefined
  }

  async log(): Promise<string> {
    return await Bun.file(join(this.device.home, 'agent.log')).text()
  }
}

/** Durable writes of a whole update, in order. */
async function countPoints(bench: Bench, version: string): Promise<string[]> {
  await Bun.write(join(bench.device.home, 'debug.toml'), 'log_level = "debug"')
  await bench.startServe()
  bench.startAgent({ LIMPET_CRASH_AT: '999999999', LIMPET_CONFIG: join(bench.device.home, 'debug.toml') })
  await bench.untilEnded(version)
  await bench.cut()
  const log = await bench.log()
  return [...log.matchAll(/"what":"([^"]+)","event":"app.durable_write"/g)].map(([, what = '']) => what)
}

/** Some of them, evenly spread, others for each seed. */
function choosePoints(count: number): number[] {
  const all = Array.from({ length: count }, (_, index) => index + 1)
  if (isWhole) return all
  const stride = Math.max(1, Math.floor(count / SAMPLES))
  return all.filter((number) => number % stride === SEED % stride)
}

interface Killing {
  readonly template: string
  readonly name: string
  /** Assigned. */
  readonly version: string
  readonly before: string | undefined
  readonly endsAs: 'committed' | 'reverted'
}

async function killAt(number: number, { template, name, version, before, endsAs }: Killing): Promise<void> {
  const home = join(folder.path, `${name}-killed`)
  await rm(home, { recursive: true, force: true })
  await copyDevice(template, home)
  const bench = new Bench({ name, home, state: join(home, 'state') })
  await bench.startServe()
  bench.startAgent({ LIMPET_CRASH_AT: String(number) })
  expect(await bench.untilKilledOrEnded(version)).toBe('killed')
  const serves = (of: string | undefined) =>
    of === undefined ? /^404|^503/ : new RegExp(`^${of} times ${of}$`)
  const allowed = [serves(before), serves(version)]
  const expectAllowed = (answer: string) =>
    expect([number, answer, allowed.some((pattern) => pattern.test(answer))]).toEqual([number, answer, true])
  // What served goes on serving while the agent is gone, and serves again after the power cut.
  expectAllowed(await askScale(bench.url))
  await bench.cut()
  await bench.startServe()
  expectAllowed(await askScale(bench.url))
  bench.startAgent()
  expect([number, await bench.untilEnded(version)]).toEqual([number, endsAs])
  expect(await askScale(bench.url)).toMatch(serves(endsAs === 'committed' ? version : before))
  await bench.cut()
  await rm(home, { recursive: true, force: true })
}

/** A socket is made anew by who answers on it. */
async function copyDevice(from: string, to: string): Promise<void> {
  const filter = (path: string) => !path.endsWith('.sock')
  await cp(from, to, { recursive: true, verbatimSymlinks: true, filter })
}

const POLICY = { observe_seconds: 0, requests_min: 0, p95_percent_max: 100_000 }

describe.each([
  ['the first version of a model', 'first', '2', undefined, 'committed'],
  ['another version', 'second', '2', '1', 'committed'],
  ['one that is taken back', 'back', '3', '1', 'reverted'],
  ['the first version, taken back', 'nothing', '3', undefined, 'reverted'],
] as const)('%s', (_, name, version, before, endsAs) => {
  test('killed at a durable write: a verified version serves, and the update ends as it would have', async () => {
    const device = await fleet.enrol(name)
    const bench = new Bench(device)
    if (before !== undefined) {
      await fleet.assign(name, [{ model: 'vision/scale', version: before, policy: POLICY }])
      await bench.startServe()
      bench.startAgent()
      expect(await bench.untilEnded(before)).toBe('committed')
      await bench.cut()
    }
    await fleet.assign(name, [{ model: 'vision/scale', version, policy: POLICY }])
    const template = join(folder.path, `${name}-template`)
    await copyDevice(device.home, template)
    const points = await countPoints(bench, version)
    expect(points.length).toBeGreaterThan(50)
    const chosen = choosePoints(points.length)
    for (const number of chosen) await killAt(number, { template, name, version, before, endsAs })
    console.log(
      `${name}: killed at ${chosen.length} of ${points.length} durable writes, ${endsAs} after each`,
    )
  })
})
