/**
 * The registry killed at each of its durable writes while somebody publishes, assigns or enrols, and what has to be true
 * afterwards: the same command succeeds, everything that is listed is there and signed, and who trusted the registry
 * before trusts it still.
 */
import { createHash } from 'node:crypto'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, cleanEnvironment, freePort, runToEnd, writeModel } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { type RunningRegistry, startRegistry } from '../kit/registry.ts'
import { Bench } from './bench.ts'
import { eventually, POLICY, type ToldEvent } from './fleet.ts'
import { copyState } from './kill-matrix.ts'
import { askScale } from './versions.ts'

const NEW_DEVICE = 'new'
const OLD_DEVICE = 'old'

export interface Order {
  readonly name: string
  /** What a person types; twice, where the first time was cut off. */
  readonly command: (at: Site) => readonly string[]
  /** What there is afterwards. */
  readonly check: (at: Site) => Promise<void>
}

export const ORDERS: readonly Order[] = [
  {
    name: 'publish',
    command: (at) => [...pushOf(join(at.home, '../model-2/scale'), at), ...at.access],
    check: async (at) => {
      await at.run(['model', 'verify', 'vision/scale', '2', ...at.access])
      await at.run(['assign', OLD_DEVICE, 'vision/scale@2', '--observe-seconds', '1', ...at.access])
    },
  },
  {
    name: 'assign',
    command: (at) => ['assign', OLD_DEVICE, 'vision/scale@1', '--observe-seconds', '1', ...at.access],
    check: async (at) => {
      const { assignments } = (await (await at.registry.ask('GET', '/v1/assignments')).json()) as {
        assignments: { target: string; models: { version: string }[] }[]
      }
      const versions = assignments.map(({ target, models }) => [target, models.map(({ version }) => version)])
      expectSame('assignments', versions, [[OLD_DEVICE, ['1']]])
    },
  },
  {
    name: 'enrol',
    command: (at) => [
      ...['enrol', '--registry', at.registry.url, '--token', at.token],
      ...['--state', join(at.home, 'new-device')],
    ],
    check: async (at) => {
      const { secret } = (await Bun.file(join(at.home, 'new-device/enrolment.json')).json()) as {
        secret: string
      }
      const authorization = `Basic ${Buffer.from(`${NEW_DEVICE}:${secret}`).toString('base64')}`
      const answer = await fetch(`${at.registry.url}/v1/assignments/${NEW_DEVICE}`, {
        headers: { authorization },
      })
      // Nothing was assigned to it, and it may ask.
      expectSame('what the new device is answered', answer.status, 404)
      expectSame('files of the new device', (await readdir(join(at.home, 'new-device'))).sort(), [
        'enrolment.json',
      ])
    },
  },
]

/** One registry on its way through a kill, and a person's machine beside it. */
interface Site {
  readonly home: string
  registry: RunningRegistry
  readonly token: string
  /** Of every command that asks the registry. */
  readonly access: readonly string[]
  run(args: readonly string[]): Promise<string>
}

export interface Outcome {
  readonly number: number
  readonly what: string
  readonly fault: string | undefined
}

/** A registry with a version, a device that trusts it and a token, as files; each kill has a copy. */
export class RegistryKills {
  readonly #folder: string
  readonly #tokens = new Map<string, string>()
  #templateUrl = ''
  #cases = 0

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async prepare(folder: string): Promise<RegistryKills> {
    const kills = new RegistryKills(folder)
    await writeModel(join(folder, 'model-1'), 'scale', { onnx: zoo.scaled(1), version: '1' })
    await writeModel(join(folder, 'model-2'), 'scale', { onnx: zoo.scaled(2), version: '2' })
    const home = join(folder, 'template')
    await mkdir(home)
    const port = await freePort()
    const registry = await startRegistry(home, { port })
    kills.#templateUrl = registry.url
    const at = createSite(home, registry, '')
    const keys = join(home, 'registry/development-keys')
    await at.run([
      ...pushOf(join(folder, 'model-1/scale'), at),
      '--root',
      join(keys, 'root.json'),
      ...at.access,
    ])
    const old = await makeToken(registry, OLD_DEVICE)
    await at.run([
      'enrol',
      '--registry',
      registry.url,
      '--token',
      old,
      '--state',
      join(home, 'old-device/state'),
    ])
    kills.#tokens.set('enrol', await makeToken(registry, NEW_DEVICE))
    await registry.stop()
    return kills
  }

  /** How many durable writes there are, the start among them, and what became of each that was chosen. */
  async killAtEach(
    order: Order,
    {
      choose,
      withDevice,
    }: { choose: (points: number) => readonly number[]; withDevice: (number: number) => boolean },
  ): Promise<{ readonly points: number; readonly outcomes: readonly Outcome[] }> {
    const points = await this.#count(order)
    const outcomes: Outcome[] = []
    for (const number of choose(points)) outcomes.push(await this.#killAt(order, number, withDevice(number)))
    return { points, outcomes }
  }

  async #count(order: Order): Promise<number> {
    const at = await this.#open(order, 999_999_999)
    await at.run(order.command(at))
    await at.registry.stop()
    const log = await Bun.file(join(at.home, 'stderr.log')).text()
    await rm(at.home, { recursive: true })
    return log.match(/"event":"app.durable_write"/g)?.length ?? 0
  }

  async #killAt(order: Order, number: number, withDevice: boolean): Promise<Outcome> {
    let what = ''
    let at: Site | undefined
    try {
      at = await this.#open(order, number).catch(() => undefined)
      if (at === undefined) what = 'the start'
      else {
        await runWhileUp(at, order.command(at))
        await at.registry.stop('SIGKILL')
        what = crashPointIn(await Bun.file(join(at.home, 'stderr.log')).text()) ?? 'end'
      }
      const home = join(this.#folder, `case-${this.#cases}`)
      at = createSite(home, await startAgain(home), this.#tokens.get(order.name) ?? '')
      await makeGood(order, at, withDevice)
      return { number, what, fault: undefined }
    } catch (error) {
      return { number, what, fault: (error as Error).message }
    } finally {
      await at?.registry.stop('SIGKILL')
      await rm(join(this.#folder, `case-${this.#cases}`), { recursive: true, force: true })
    }
  }

  /** A copy at a port of its own: what a person's machine remembers goes by where the registry is. */
  async #open(order: Order, crashAt: number): Promise<Site> {
    this.#cases += 1
    const home = join(this.#folder, `case-${this.#cases}`)
    copyState(join(this.#folder, 'template'), home)
    const port = await freePort()
    const trusted = (url: string) => join(home, 'state/registries', nameOf(url))
    await rename(trusted(this.#templateUrl), trusted(`http://127.0.0.1:${port}`))
    const enrolment = Bun.file(join(home, 'old-device/state/enrolment.json'))
    const mqttPort = await freePort()
    await Bun.write(
      enrolment,
      JSON.stringify({
        ...((await enrolment.json()) as object),
        registry: `http://127.0.0.1:${port}`,
        mqtt_url: `mqtt://127.0.0.1:${mqttPort}`,
      }),
    )
    await Bun.write(join(home, 'ports.json'), JSON.stringify({ port, mqttPort }))
    await Bun.write(join(home, 'debug.toml'), 'log_level = "debug"')
    const registry = await startRegistry(home, {
      port,
      mqttPort,
      args: ['--config', join(home, 'debug.toml')],
      env: { LIMPET_CRASH_AT: String(crashAt) },
    })
    return createSite(home, registry, this.#tokens.get(order.name) ?? '')
  }
}

async function startAgain(home: string): Promise<RunningRegistry> {
  const ports = (await Bun.file(join(home, 'ports.json')).json()) as { port: number; mqttPort: number }
  return await startRegistry(home, ports)
}

/** To its end, or to that of the registry: it would ask again for long, and the person has gone. */
async function runWhileUp({ home, registry }: Site, args: readonly string[]): Promise<void> {
  const child = Bun.spawn([BINARY, ...args], {
    cwd: home,
    env: cleanEnvironment(home),
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  await Promise.race([child.exited, registry.exited])
  child.kill('SIGKILL')
  await child.exited
}

/** As the registry's clients name what they keep of it. */
function nameOf(url: string): string {
  return createHash('sha256').update(new URL(url).href).digest('hex').slice(0, 16)
}

async function makeGood(order: Order, at: Site, withDevice: boolean): Promise<void> {
  // Before anything is made good: what is listed is signed and whole, for one who has seen the registry before.
  const listed = JSON.parse(await at.run(['model', 'list', '--json', ...at.access])) as { version: string }[]
  for (const { version } of listed) await at.run(['model', 'verify', 'vision/scale', version, ...at.access])
  await at.run(order.command(at))
  await order.check(at)
  if (withDevice) await checkDevice(order, at)
}

/** A device that was enrolled before the kill takes what is assigned now, and serves it. */
async function checkDevice(order: Order, at: Site): Promise<void> {
  const version = order.name === 'publish' ? '2' : '1'
  const models = [{ model: 'vision/scale', version, policy: POLICY }]
  await at.registry.ask('PUT', `/v1/assignments/${OLD_DEVICE}`, { models })
  const home = join(at.home, 'old-device')
  const bench = new Bench({ name: OLD_DEVICE, home, state: join(home, 'state') })
  await bench.startUp()
  try {
    await eventually('the device has taken it', async () => {
      const answer = await at.registry.ask('GET', `/v1/devices/${OLD_DEVICE}/events`)
      const { events } = (await answer.json()) as { events: { body: ToldEvent }[] }
      return events.some(({ body }) => body.version === version && body.to === 'committed')
    })
    expectSame('what the device answers', await askScale(bench.url), `${version} times ${version}`)
  } finally {
    await bench.stop()
  }
}

function createSite(home: string, registry: RunningRegistry, token: string): Site {
  return {
    home,
    registry,
    token,
    access: ['--registry', registry.url, '--api-key-file', join(registry.state, 'admin.key')],
    run: async (args) => {
      const { exitCode, stdout, stderr } = await runToEnd(home, { command: [BINARY, ...args] })
      if (exitCode !== 0) throw new Error(`limpet ${args.slice(0, 2).join(' ')}: ${exitCode}: ${stderr}`)
      return stdout
    },
  }
}

function pushOf(folder: string, { home }: Site): string[] {
  const publishers = join(home, 'registry/development-keys/publishers')
  const [key = ''] = [...new Bun.Glob('vision-*').scanSync(publishers)]
  return ['model', 'push', folder, '--family', 'vision', '--key', join(publishers, key)]
}

async function makeToken(registry: RunningRegistry, device: string): Promise<string> {
  const answer = await registry.ask('POST', '/v1/tokens', { device })
  return ((await answer.json()) as { token: string }).token
}

function crashPointIn(log: string): string | undefined {
  return [...log.matchAll(/"what":"([^"]+)","event":"app.crash_point"/g)].at(-1)?.[1]
}

function expectSame(what: string, got: unknown, expected: unknown): void {
  if (Bun.deepEquals(got, expected)) return
  throw new Error(`${what}: ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`)
}

/** How many were killed, and how many of them ended well, in words. */
export function summaryOf(
  { name }: Order,
  { points, outcomes }: { readonly points: number; readonly outcomes: readonly Outcome[] },
): string {
  const good = outcomes.filter(({ fault }) => fault === undefined).length
  return `the registry, ${name}: ${points} durable writes, killed at ${outcomes.length}, ${good} made good`
}
