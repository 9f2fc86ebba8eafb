/** The central side of a fleet in a box: the compiled registry, and Debian's Mosquitto with the settings that it writes. */
import { join } from 'node:path'
import { freePort } from '../../test/kit/binary.ts'
import { type RunningBroker, startMosquitto, writeBrokerConfig } from '../../test/kit/mosquitto.ts'
import { type RunningRegistry, startRegistry } from '../../test/kit/registry.ts'
import { packVersion, publisherKey, signFamily, upload } from '../../test/registry/publish.ts'

export const MODEL = 'demo/detector'
const AT_ONCE = 8
/** So that a fleet enrols in a minute or two. */
const SETTINGS = ['log_level = "warn"', '[enrolment]', 'attempts_max = 10000', 'attempt_seconds = 1'].join(
  '\n',
)
/** Connections are counted by what the broker logs of them. */
const BROKER_SETTINGS = 'log_type error\nlog_type warning\nlog_type notice\n'

export interface Enrolled {
  readonly id: string
  readonly secret: string
}

export class Central {
  registry: RunningRegistry
  broker: RunningBroker | undefined
  root: unknown
  readonly #folder: string
  readonly #config: string
  #brokerPort = 0
  #targets: Parameters<typeof signFamily>[0]['targets'] = {}
  #metadata = 1

  private constructor(folder: string, registry: RunningRegistry, config: string) {
    this.#folder = folder
    this.registry = registry
    this.#config = config
  }

  static async start(folder: string): Promise<Central> {
    const config = join(folder, 'registry.toml')
    await Bun.write(config, SETTINGS)
    const registry = await startRegistry(join(folder, 'central'), { args: ['--config', config] })
    return new Central(folder, registry, config)
  }

  /** Each with a token of its own, as an operator and a device would. */
  async enrol(ids: readonly string[]): Promise<Enrolled[]> {
    const enrolled: Enrolled[] = []
    const rest = ids.values()
    const oneByOne = async () => {
      for (const id of rest) enrolled.push(await this.#enrolOne(id))
    }
    await Promise.all(Array.from({ length: AT_ONCE }, oneByOne))
    return enrolled.sort((one, other) => (one.id < other.id ? -1 : 1))
  }

  async #enrolOne(device: string): Promise<Enrolled> {
    const { token } = (await this.ask('POST', '/v1/tokens', { device })) as { token: string }
    const { secret, root } = (await this.ask('POST', '/v1/enrol', { token, device })) as {
      secret: string
      root: unknown
    }
    this.root = root
    return { id: device, secret }
  }

  /** Once all devices are enrolled: a broker that knows them, and a registry behind it. */
  async moveToMosquitto(): Promise<void> {
    this.#brokerPort = await freePort()
    const config = await writeBrokerConfig(this.#folder, {
      state: this.registry.state,
      port: this.#brokerPort,
    })
    this.broker = await startMosquitto(config, { port: this.#brokerPort, extra: BROKER_SETTINGS })
    await this.restartRegistry()
  }

  /** Killed, and started again where it was. */
  async restartRegistry(): Promise<void> {
    const port = Number(new URL(this.registry.url).port)
    await this.registry.stop('SIGKILL')
    const args = ['--config', this.#config, '--broker', this.broker?.url ?? '']
    this.registry = await startRegistry(join(this.#folder, 'central'), { args, port })
  }

  /** Killed, and started again: it remembers nothing of what it retained, and of nobody's session. */
  async restartBroker(): Promise<void> {
    await this.broker?.stop('SIGKILL')
    this.broker = await startMosquitto(join(this.#folder, 'mosquitto'), {
      port: this.#brokerPort,
      extra: BROKER_SETTINGS,
    })
  }

  /** Of the broker that runs now: how many clients came in each second. */
  async connectsBySecond(): Promise<number[]> {
    const log = await Bun.file(join(this.#folder, 'mosquitto/stderr.log')).text()
    const counts = new Map<string, number>()
    for (const [, second = ''] of log.matchAll(/^(\d+): New client connected from /gm))
      counts.set(second, (counts.get(second) ?? 0) + 1)
    return [...counts.values()]
  }

  /** A small model: what is shown here is who gets which, not how long it takes. */
  async publish(version: string, release: number): Promise<void> {
    const files = { [`${version}/model.onnx`]: Buffer.from(`a model, version ${version}`) }
    const packed = packVersion({ model: MODEL, version, release, files })
    await upload(packed, (method, path, body) => this.registry.ask(method, path, body))
    this.#metadata += 1
    this.#targets = { ...this.#targets, ...packed.targets }
    const key = await publisherKey(join(this.registry.state, 'development-keys'), 'demo')
    const signed = signFamily({ version: this.#metadata, targets: this.#targets, nowMs: Date.now() }, key)
    await this.ask('POST', '/v1/metadata/demo', signed)
  }

  async ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = await this.registry.ask(method, path, body)
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}: ${await answer.text()}`)
    return await answer.json()
  }

  /** One sample of its metrics, by the name with its labels. */
  async metrics(): Promise<(name: string) => number> {
    const text = await (await this.registry.ask('GET', '/metrics')).text()
    const samples = new Map(
      text
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
    )
    return (name) => samples.get(name) ?? 0
  }

  async stop(): Promise<void> {
    await this.registry.stop()
    await this.broker?.stop()
  }
}
