/** The units are what systemd understands, shut what they can, and call the binary as it is. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, runToEnd } from '../kit/binary.ts'

// Programs are started, and a busy machine takes its time.
setDefaultTimeout(120_000)

const UNITS = join(import.meta.dir, '../../deploy/systemd')
const ANALYZE = Bun.which('systemd-analyze', { PATH: '/usr/bin:/bin' })
/** Judging a file instead of what runs came with 250. */
const VERSION = ANALYZE === null ? 0 : Number(/\d+/.exec(output([ANALYZE, '--version']))?.[0] ?? 0)
const IS_THERE = VERSION >= 250
const WITHOUT = IS_THERE ? '' : ' (skipped: systemd-analyze of 250 or newer is not installed)'

const folder = await createFolder()
afterAll(folder.remove)

function output(command: string[]): string {
  return Bun.spawnSync(command, { stderr: 'ignore' }).stdout.toString()
}

const read = (name: string) => Bun.file(join(UNITS, name)).text()

/** As it would lie in /etc/systemd/system, but with the binary that was just built. */
async function stage(name: string, dropIns: readonly string[] = []): Promise<string> {
  const home = join(folder.path, `${name}-${dropIns.length}`)
  const path = join(home, name)
  await mkdir(home, { recursive: true })
  await Bun.write(path, (await read(name)).replaceAll('/usr/local/bin/limpet', BINARY))
  for (const dropIn of dropIns)
    await Bun.write(join(home, `${name}.d`, dropIn), Bun.file(join(UNITS, dropIn)))
  return path
}

/** What README states, of 10, as systemd 252 counts; others know other questions. */
const CASES = [
  ['limpet.service', [], 1.5],
  ['limpet.service', ['limpet-gpu.conf'], 2],
  ['limpet-registry.service', [], 1.5],
] as const

describe.skipIf(!IS_THERE)(`systemd-analyze${WITHOUT}`, () => {
  test.each(CASES)('finds nothing wrong with %s and %p', async (name, dropIns) => {
    const unit = await stage(name, dropIns)
    const { stdout, stderr, exitCode } = await runToEnd(folder.path, {
      command: [ANALYZE ?? '', 'verify', '--man=no', unit],
    })
    // What is wrong with units of the machine itself is not ours.
    const ours = (stdout + stderr).split('\n').filter((line) => line.includes('limpet'))
    expect({ ours, exitCode }).toEqual({ ours: [], exitCode: 0 })
  })

  test('does find what is wrong', async () => {
    const unit = await stage('limpet.service')
    await Bun.write(unit, (await Bun.file(unit).text()).replace('Type=notify', 'Type=nottify'))
    const { stderr } = await runToEnd(folder.path, {
      command: [ANALYZE ?? '', 'verify', '--man=no', unit],
    })
    expect(stderr).toContain('nottify')
  })

  test.each(CASES)('%s with %p is exposed no more than is stated: %p', async (name, dropIns, most) => {
    const unit = await stage(name, dropIns)
    // Of a file that is judged offline no drop-in is read: what comes last counts, as with a drop-in.
    const whole = [await Bun.file(unit).text(), ...(await Promise.all(dropIns.map(read)))].join('\n')
    await Bun.write(unit, whole)
    const { stdout } = await runToEnd(folder.path, {
      command: [ANALYZE ?? '', 'security', '--no-pager', '--offline=true', unit],
    })
    const score = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1])
    expect(score).toBeGreaterThan(0)
    expect(score).toBeLessThanOrEqual(VERSION === 252 ? most : most + 2)
  })
})

describe.each(['limpet.service', 'limpet-registry.service'])('%s', (name) => {
  test('calls a command of the binary with options that it has', async () => {
    const [, line = ''] = /^ExecStart=\/usr\/local\/bin\/limpet (.*)$/m.exec(await read(name)) ?? []
    const [command = '', ...args] = line.split(' ')
    const options = args.filter((arg) => arg.startsWith('--'))
    const { stdout, exitCode } = await runToEnd(folder.path, { command: [BINARY, command, '--help'] })
    expect(exitCode).toBe(0)
    expect(options.length).toBeGreaterThan(0)
    expect(options.filter((option) => !stdout.includes(`${option} <`))).toEqual([])
  })

  test('is started again whatever happens, and told apart from one that is stopped', async () => {
    const text = await read(name)
    for (const line of ['Type=notify', 'Restart=always', 'StartLimitIntervalSec=0']) {
      expect(text.split('\n')).toContain(line)
    }
    const seconds = (key: string) => Number(new RegExp(`^${key}=(\\d+)$`, 'm').exec(text)?.[1])
    expect(seconds('WatchdogSec')).toBeGreaterThan(0)
    // The supervisor kills what does not stop within 30 s, and wants to see it gone.
    expect(seconds('TimeoutStopSec')).toBeGreaterThan(30)
  })
})
