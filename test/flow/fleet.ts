/** A fleet on this machine: the compiled binary as the registry and as each device, real keys, real files. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Status } from '../../src/app/agent/status.ts'
import type { TargetFields } from '../../src/trust/sign-metadata.ts'
import { BINARY, cleanEnvironment, freePort, type Running, runToEnd, startServing } from '../kit/binary.ts'
import { type RunningRegistry, startRegistry } from '../kit/registry.ts'
import { packVersion, publisherKey, signFamily, upload, type Version } from '../registry/publish.ts'

/** What a device runs on. */
interface Machine {
  readonly program: string
  /** So many times as slow as this one. */
  readonly slowness: number
}

const THIS_MACHINE: Machine = { program: BINARY, slowness: 1 }

export interface Device {
  readonly name: string
  /** This one, where it is not said. */
  readonly machine?: Machine
  /** Its state is below. */
  readonly home: string
  readonly state: string
}

interface Listed {
  readonly version: number
  readonly targets: Readonly<Record<string, TargetFields>>
  readonly floors: Readonly<Record<string, number>>
}

/** Short, so that a test sees the end of a trial, and patient with a machine that does other things as well. */
export const POLICY = { observe_seconds: 1, requests_min: 1, p95_percent_max: 100_000 } as const

export interface Assigned {
  readonly model: string
  readonly version: string
  readonly policy?: Readonly<Record<string, unknown>>
  readonly schedule?: Readonly<Record<string, unknown>>
  readonly allow_downgrade?: boolean
}

export class Fleet {
  registry: RunningRegistry
  readonly #folder: string
  readonly #args: readonly string[]
  readonly #listed = new Map<string, Listed>()

  private constructor(parts: { folder: string; registry: RunningRegistry; args: readonly string[] }) {
    this.#folder = parts.folder
    this.registry = parts.registry
    this.#args = parts.args
  }

  static async start(folder: string, { args = [] }: { args?: readonly string[] } = {}): Promise<Fleet> {
    return new Fleet({ folder, registry: await startRegistry(join(folder, 'central'), { args }), args })
  }

  /** Killed, and started again at the same ports. */
  async restartRegistry(): Promise<void> {
    const { url, mqttUrl } = this.registry
    await this.registry.stop('SIGKILL')
    this.registry = await startRegistry(join(this.#folder, 'central'), {
      args: this.#args,
      port: Number(new URL(url).port),
      mqttPort: Number(new URL(mqttUrl).port),
    })
  }

  /** As a publisher would, but for the check that keeps what is not fit from being published. */
  async publish(published: Version): Promise<{ manifest: string }> {
    const packed = packVersion(published)
    await upload(packed, (method, path, body) => this.registry.ask(method, path, body))
    await this.sign(published.model.split('/')[0] ?? '', packed)
    return { manifest: packed.manifest }
  }

  /** The next version of what the family has signed, with this as well. */
  async sign(family: string, added: Partial<Omit<Listed, 'version'>> = {}): Promise<void> {
    const { version, targets, floors } = this.listed(family)
    const next = {
      version: version + 1,
      targets: { ...targets, ...added.targets },
      floors: { ...floors, ...added.floors },
    }
    const key = await publisherKey(join(this.registry.state, 'development-keys'), family)
    const signed = signFamily({ ...next, nowMs: Date.now() }, key)
    await expectOk(this.registry.ask('POST', `/v1/metadata/${family}`, signed))
    this.#listed.set(family, next)
  }

  listed(family: string): Listed {
    return this.#listed.get(family) ?? { version: 1, targets: {}, floors: {} }
  }

  async assign(target: string, models: readonly Assigned[]): Promise<void> {
    const complete = models.map((each) => ({ policy: POLICY, ...each }))
    await expectOk(this.registry.ask('PUT', `/v1/assignments/${target}`, { models: complete }))
  }

  /** `at` is where the device finds the registry. */
  async enrol(name: string, at = this.registry.url, machine = THIS_MACHINE): Promise<Device> {
    const home = join(this.#folder, name)
    await mkdir(home, { recursive: true })
    const answer = await expectOk(this.registry.ask('POST', '/v1/tokens', { device: name }))
    const { token } = (await answer.json()) as { token: string }
    const { exitCode, stderr } = await runToEnd(home, {
      command: [machine.program, 'enrol', '--registry', at, '--token', token],
    })
    if (exitCode !== 0) throw new Error(stderr)
    return { name, machine, home, state: join(home, 'state') }
  }

  /** What the registry has heard of the device, oldest first. */
  async events(device: string): Promise<ToldEvent[]> {
    const answer = await expectOk(this.registry.ask('GET', `/v1/devices/${device}/events?count=1000`))
    const { events } = (await answer.json()) as { events: { body: ToldEvent }[] }
    // Whether this machine is hot or full while it tests is another matter.
    return events.map(({ body }) => body).filter(({ kind }) => kind !== 'alert')
  }

  /** A command at the device. */
  async run(device: Device, args: readonly string[]): Promise<void> {
    const { exitCode, stderr } = await runToEnd(device.home, { command: [programOf(device), ...args] })
    if (exitCode !== 0) throw new Error(stderr)
  }

  /** Waits until the newest update of the model is one to that version, and has ended so. */
  async ended(
    device: Device,
    model: string,
    expected: { readonly version: string; readonly state: string },
  ): Promise<Status> {
    let last: Status | undefined
    try {
      const look = async () => {
        last = await glanceAt(device)
        const update = last?.models.find((each) => each.model === model)?.update
        const isEnd = update?.version === expected.version && ENDED.includes(update.state)
        if (isEnd && update.state !== expected.state) throw new Error(JSON.stringify(update))
        return isEnd ? last : undefined
      }
      return await eventually(`${model} ${expected.version} is ${expected.state}`, look, device.machine)
    } catch (cause) {
      throw new Error(`It is ${JSON.stringify(last?.models)}`, { cause })
    }
  }
}

function programOf({ machine = THIS_MACHINE }: Device): string {
  return machine.program
}

const ENDED = ['committed', 'rejected', 'failed', 'reverted', 'stuck']

export interface ToldEvent {
  readonly kind?: string
  readonly rev: number
  readonly model: string
  readonly version: string
  readonly from: string
  readonly to: string
  readonly code: string
  readonly reason: string
}

const WAIT_MS_MAX = 60_000

/** Looks until it is so, or says what it was waiting for. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T>,
  { slowness } = THIS_MACHINE,
): Promise<NonNullable<T>> {
  const waitMsMax = WAIT_MS_MAX * slowness
  const deadline = performance.now() + waitMsMax
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== null && found !== false) return found as NonNullable<T>
    if (performance.now() > deadline) throw new Error(`Not so after ${waitMsMax} ms: ${what}`)
    await Bun.sleep(100)
  }
}

async function expectOk(sent: Promise<Response>): Promise<Response> {
  const answer = await sent
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`)
  return answer
}

/** At a port of its own: what is restarted has to come back where it was. */
export async function startUp(
  device: Device,
  settings = '',
  env: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const config = join(device.home, 'config.toml')
  await Bun.write(config, settings)
  for (let tries = 1; ; tries += 1) {
    const port = await freePort()
    const command = [programOf(device), 'up', '--config', config, '--port', String(port)]
    try {
      return await startServing(device.home, { command, env, slowness: device.machine?.slowness ?? 1 })
    } catch (error) {
      // Somebody else on this machine was given it meanwhile.
      if (tries === PORT_TRIES_MAX || !String(error).includes(`Is port ${port} in use`)) throw error
    }
  }
}

const PORT_TRIES_MAX = 3

/** The same, asked of the agent as `limpet status` does: for whoever looks again and again. */
export async function glanceAt(device: Device): Promise<Status | undefined> {
  const unix = join(device.state, 'agent.sock')
  const answer = await fetch('http://localhost/status', { unix }).catch(() => undefined)
  return answer === undefined ? undefined : Status.parse(await answer.json())
}

/** As `limpet status --json` tells it; undefined while no agent answers. */
export async function statusOf(device: Device): Promise<Status | undefined> {
  const { stdout, exitCode } = await runToEnd(device.home, {
    command: [programOf(device), 'status', '--json'],
    env: cleanEnvironment(device.home),
  })
  return exitCode === 0 ? Status.parse(JSON.parse(stdout)) : undefined
}
