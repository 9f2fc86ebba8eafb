/**
 * The agent killed at each of its durable writes, one device for each of them, and what has to be true of it afterwards:
 * a verified version serves at every moment, the update ends as it would have, the registry has heard of each state
 * once and in order, and nothing is left over.
 */
import { Database } from 'bun:sqlite'
import { mkdir, readdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { writeEnrolment } from '../../src/app/agent/enrolment.ts'
import * as zoo from '../kit/model-zoo.ts'
import { enrolDevice } from '../kit/registry.ts'
import { Bench, Caller, killAll, untilCrashed } from './bench.ts'
import { type Device, eventually, Fleet, POLICY, type ToldEvent } from './fleet.ts'
import { askScale, heavy, longToLoad } from './versions.ts'

const MODEL = 'vision/scale'

export interface Scenario {
  readonly name: string
  /** What serves when it begins; undefined: nothing has ever been assigned. */
  readonly before: string | undefined
  readonly version: string
  readonly ends: 'committed' | 'reverted'
}

export const SCENARIOS: readonly Scenario[] = [
  { name: 'first', before: undefined, version: '1', ends: 'committed' },
  { name: 'second', before: '1', version: '2', ends: 'committed' },
  // Fit in its probe, and on trial it answers NaN to what its golden samples do not ask.
  { name: 'taken-back', before: '1', version: '3', ends: 'reverted' },
  { name: 'first-taken-back', before: undefined, version: '3', ends: 'reverted' },
]

export interface Outcome {
  readonly number: number
  /** What the crash point was called; "end" where the agent met fewer. */
  readonly what: string
  /** What was not as it had to be. */
  readonly fault: string | undefined
  readonly log?: string
}

/** What a device has on its disk when all is done. */
interface Remains {
  readonly files: readonly string[]
  /** Of each table, how many rows. */
  readonly rows: Readonly<Record<string, number>>
}

export class Matrix {
  readonly fleet: Fleet
  readonly #folder: string
  readonly #templates = new Map<string | undefined, string>()
  #devices = 0

  private constructor(folder: string, fleet: Fleet) {
    this.#folder = folder
    this.fleet = fleet
  }

  static async start(folder: string): Promise<Matrix> {
    await mkdir(folder, { recursive: true })
    const config = join(folder, 'registry.toml')
    await Bun.write(config, '[enrolment]\nattempts_max = 10000')
    const matrix = new Matrix(folder, await Fleet.start(folder, { args: ['--config', config] }))
    await matrix.fleet.publish(heavy(1))
    await matrix.fleet.publish(heavy(2))
    await matrix.fleet.publish(heavy(3, zoo.brittle(3)))
    await matrix.fleet.publish(longToLoad(4))
    await matrix.#makeTemplates()
    return matrix
  }

  async stop(): Promise<void> {
    await killAll()
    await this.fleet.registry.stop()
  }

  /** A device of its own that is at the beginning of the scenario, `under` some folder. */
  async createDevice(
    scenario: Pick<Scenario, 'name' | 'before'>,
    options: { under?: string; policy?: object; version?: string } = {},
  ): Promise<Device> {
    this.#devices += 1
    const name = `${scenario.name}-${this.#devices}`
    const home = join(options.under ?? this.#folder, name)
    const state = join(home, 'state')
    await mkdir(home, { recursive: true })
    // What is on a disk that is to fill up could not say so in a file on that same disk.
    if (options.under !== undefined) {
      for (const log of ['stderr.log', 'agent.log'])
        await symlink(join(this.#folder, `${name}-${log}`), join(home, log))
    }
    copyState(this.#templates.get(scenario.before) ?? '', state)
    const { device, secret, mqtt, root } = await enrolDevice(this.fleet.registry, name)
    const { url } = this.fleet.registry
    await writeEnrolment(state, { format: 1, registry: url, device, secret, mqtt_url: mqtt.url, root })
    if (scenario.before !== undefined) await this.assign(name, scenario.before)
    if (options.version !== undefined) await this.assign(name, options.version, options.policy)
    return { name, home, state }
  }

  async assign(device: string, version: string, policy: object = {}): Promise<void> {
    await this.fleet.assign(device, [{ model: MODEL, version, policy: { ...POLICY, ...policy } }])
  }

  /** How the update to that version has ended, as the registry has heard it. */
  async endOf(device: Device, version: string): Promise<string | undefined> {
    const last = (await this.fleet.events(device.name)).findLast((event) => event.version === version)
    return last !== undefined && ENDED.includes(last.to) ? last.to : undefined
  }

  async untilEnded(device: Device, version: string): Promise<string> {
    return await eventually(`the update of ${device.name} to ${version} has ended`, () =>
      this.endOf(device, version),
    )
  }

  async #makeTemplates(): Promise<void> {
    const nothing = join(this.#folder, 'template-nothing')
    await mkdir(nothing)
    const one = join(this.#folder, 'template-one')
    this.#templates.set(undefined, nothing)
    const device = await this.createDevice({ name: 'template', before: undefined }, { version: '1' })
    const bench = new Bench(device)
    await bench.startUp()
    await this.untilEnded(device, '1')
    await eventually('all has been told', async () => rowsOf(device, 'outbox') === 0)
    await bench.stop()
    copyState(device.state, one)
    this.#templates.set('1', one)
  }
}

const ENDED = ['committed', 'rejected', 'failed', 'reverted', 'stuck']

/** What is large and never changed is the same file for all of them; a socket is made anew by who answers on it. */
export function copyState(from: string, to: string): void {
  Bun.spawnSync(['cp', '-a', '--no-dereference', from, to])
  Bun.spawnSync(['find', to, '-type', 's', '-delete'])
}

function rowsOf({ state }: Device, table: string): number {
  const database = new Database(join(state, 'agent.sqlite'), { readonly: true })
  try {
    const row = database.query(`SELECT count(*) AS count FROM "${table}"`).get() as { count: number }
    return row.count
  } finally {
    database.close()
  }
}

/** These grow by what has happened, not by how often it was cut off. */
const GROWING = ['ota_event', 'outbox', 'outbox_session', 'sqlite_sequence', 'telemetry_outbox']

async function remainsOf(device: Device): Promise<Remains> {
  const entries = await readdir(device.state, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => !entry.isSocket() && !/-(wal|shm)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(device.state.length + 1))
    // The more often a process was started, the more there is.
    .filter((path) => !path.startsWith('logs/'))
    // Kept on the way of others, to be there or not: test/engines has kills of its own.
    .filter((path) => !path.startsWith('engines'))
    .sort()
  const database = new Database(join(device.state, 'agent.sqlite'), { readonly: true })
  const tables = database.query("SELECT name FROM sqlite_master WHERE type = 'table'").all() as {
    name: string
  }[]
  database.close()
  const counted = tables.map(({ name }) => name).filter((name) => !GROWING.includes(name))
  return { files, rows: Object.fromEntries(counted.sort().map((name) => [name, rowsOf(device, name)])) }
}

/** What the device itself has noted of the update, oldest first. */
function notedEvents({ state }: Device, version: string): ToldEvent[] {
  const database = new Database(join(state, 'agent.sqlite'), { readonly: true })
  const rows = database.query('SELECT body FROM ota_event ORDER BY id').all() as { body: string }[]
  database.close()
  return rows.map(({ body }) => JSON.parse(body) as ToldEvent).filter((event) => event.version === version)
}

class Fault extends Error {
  override readonly name = 'Fault'
}

function check(isSo: boolean, otherwise: () => string): void {
  if (!isSo) throw new Fault(otherwise())
}

/** Each state once, in order, none left out, and the registry has heard what the device has noted. */
export async function checkEvents(fleet: Fleet, device: Device, version: string): Promise<void> {
  const told = (await fleet.events(device.name)).filter((event) => event.version === version)
  const noted = notedEvents(device, version)
  const words = (events: readonly ToldEvent[]) =>
    events.map(({ from, to, code }) => `${from} ${to}${code === '' ? '' : ` (${code})`}`).join(', ')
  check(Bun.deepEquals(told, noted), () => `told: ${words(told)}; noted: ${words(noted)}`)
  const froms = told.map(({ from }) => from)
  const expected = ['assigned', ...told.slice(0, -1).map(({ to }) => to)]
  check(Bun.deepEquals(froms, expected), () => `a state is missing or doubled: ${words(told)}`)
}

function checkRemains(got: Remains, expected: Remains): void {
  const more = got.files.filter((path) => !expected.files.includes(path))
  const less = expected.files.filter((path) => !got.files.includes(path))
  check(more.length + less.length === 0, () => `left over: ${more}; missing: ${less}`)
  const rows = Object.entries(got.rows).filter(([table, count]) => expected.rows[table] !== count)
  check(
    rows.length === 0,
    () => `rows: ${rows.map(([table, count]) => `${table} ${count}, expected ${expected.rows[table]}`)}`,
  )
}

const NOTHING = /^(400|404|503): /

/** What may be answered while the update is on its way. */
export function checkAnswers({ before, version }: Scenario, answers: readonly string[]): void {
  const right = [before, version].map((each) => `${each} times ${each}`)
  const wrong = answers.filter(
    (answer) => !right.includes(answer) && !(before === undefined && NOTHING.test(answer)),
  )
  check(wrong.length === 0, () => `answered: ${wrong}`)
}

export function checkFinalAnswer({ before, version, ends }: Scenario, answer: string): void {
  const serves = ends === 'committed' ? version : before
  const isRight = serves === undefined ? NOTHING.test(answer) : answer === `${serves} times ${serves}`
  check(isRight, () => `serves ${answer} in the end, expected ${serves ?? 'nothing'}`)
}

/** A client of the device; what it asks now and then is what the brittle one cannot answer. */
export function call(bench: Bench): Caller {
  const { url } = bench
  return new Caller(async () => {
    const body = JSON.stringify({
      inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [1], data: [-1000] }],
    })
    await fetch(`${url}/v2/models/scale/infer`, { method: 'POST', body }).catch(() => undefined)
    return await askScale(url)
  })
}

export async function forget(device: Device): Promise<void> {
  await rm(device.home, { recursive: true, force: true })
}

/** The update without any kill: how many durable writes it takes, and what has to be there after it. */
async function runUnharmed(
  matrix: Matrix,
  scenario: Scenario,
): Promise<{ readonly points: number; readonly remains: Remains }> {
  const device = await matrix.createDevice(scenario, {
    version: scenario.version,
    policy: policyOf(scenario),
  })
  const bench = new Bench(device)
  await bench.startServe()
  const caller = call(bench)
  const config = join(device.home, 'debug.toml')
  await Bun.write(config, 'log_level = "debug"')
  bench.startAgent({ LIMPET_CRASH_AT: '999999999', LIMPET_CONFIG: config })
  const ended = await matrix.untilEnded(device, scenario.version)
  check(ended === scenario.ends, () => `unharmed, it is ${ended}`)
  await settled(device)
  checkFinalAnswer(scenario, await bench.ask())
  checkAnswers(scenario, await caller.stop())
  await bench.stop()
  await checkEvents(matrix.fleet, device, scenario.version)
  const remains = await remainsOf(device)
  const points = (await bench.log()).match(/"event":"app.durable_write"/g)?.length ?? 0
  await forget(device)
  return { points, remains }
}

/** A trial that fails needs somebody who asks. */
export function policyOf({ ends }: Pick<Scenario, 'ends'>): object {
  return ends === 'reverted' ? { observe_seconds: 2, requests_min: 3 } : {}
}

/** What comes after the end of the update: nothing is on its way, and nothing is remembered of it. */
export async function settled(device: Device): Promise<void> {
  await eventually('nothing is on its way', () => isSettled(device))
}

async function isSettled(device: Device): Promise<true | undefined> {
  const work = await readdir(join(device.state, 'store/work'))
  const isDone = work.length === 0 && rowsOf(device, 'ota_note') === 0 && rowsOf(device, 'outbox') === 0
  return isDone ? true : undefined
}

/** Kills the agent at its n-th durable write, and looks at all that follows. */
async function killAt(
  matrix: Matrix,
  scenario: Scenario,
  { number, expected }: { number: number; expected: Remains },
): Promise<Outcome> {
  const { version } = scenario
  const device = await matrix.createDevice(scenario, { version, policy: policyOf(scenario) })
  const bench = new Bench(device)
  let what = ''
  try {
    await bench.startServe()
    let caller = call(bench)
    bench.startAgent({ LIMPET_CRASH_AT: String(number) })
    const end = await untilCrashed(bench, async () => {
      if ((await matrix.endOf(device, version)) === undefined) return undefined
      await untilCrashed(bench, () => isSettled(device))
      return (await bench.stopOrCrash()) === 'crashed' ? undefined : 'end'
    })
    what = end === 'crashed' ? await bench.crashPoint() : end
    if (number % 2 === 0) {
      // The whole device at once; whoever asked it asks again when it is back.
      checkAnswers(scenario, await caller.stop())
      await bench.kill()
      await bench.startUp()
      checkAnswers(scenario, [await bench.ask()])
      caller = call(bench)
    } else bench.startAgent()
    const ended = await matrix.untilEnded(device, version)
    check(ended === scenario.ends, () => `it is ${ended}`)
    await settled(device)
    checkFinalAnswer(scenario, await bench.ask())
    checkAnswers(scenario, await caller.stop())
    await bench.stop()
    await checkEvents(matrix.fleet, device, version)
    checkRemains(await remainsOf(device), expected)
    await forget(device)
    return { number, what, fault: undefined }
  } catch (error) {
    await bench.kill()
    return { number, what, fault: (error as Error).message, log: await bench.log() }
  }
}

export interface Choice {
  /** Of so many: which of them, ascending. */
  readonly choose: (points: number) => readonly number[]
  /** So many devices at once. */
  readonly width: number
  readonly say: (line: string) => void
}

/** Each chosen point, and what it came to, in order. */
export async function killAtEach(
  matrix: Matrix,
  scenario: Scenario,
  { choose, width, say }: Choice,
): Promise<{ readonly points: number; readonly outcomes: readonly Outcome[] }> {
  const { remains, points } = await runUnharmed(matrix, scenario)
  const chosen = choose(points).values()
  const outcomes: Outcome[] = []
  const work = async () => {
    for (const number of chosen) {
      const outcome = await killAt(matrix, scenario, { number, expected: remains })
      outcomes.push(outcome)
      if (outcome.fault === undefined) continue
      say(`${scenario.name} ${number} ${outcome.what}: ${outcome.fault}\n${outcome.log ?? ''}`)
    }
  }
  await Promise.all(Array.from({ length: width }, work))
  return { points, outcomes: outcomes.sort((one, other) => one.number - other.number) }
}

/** How many were killed, and how many of them ended well, in words. */
export function summaryOf(
  { name, ends }: Scenario,
  { points, outcomes }: { readonly points: number; readonly outcomes: readonly Outcome[] },
): string {
  const killed = outcomes.filter(({ what }) => what !== 'end').length
  const faults = outcomes.filter(({ fault }) => fault !== undefined).length
  const verdict = faults === 0 ? `${ends} after each` : `${faults} FAULTS`
  return `${name}: killed at ${killed} of ${points} durable writes, ${verdict}`
}
