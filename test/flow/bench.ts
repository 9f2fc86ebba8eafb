/** A device process by process, so that each of them can be killed by itself. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, cleanEnvironment, type Running, startServing } from '../kit/binary.ts'
import { type Device, eventually, startUp } from './fleet.ts'
import { askScale } from './versions.ts'

export class Bench {
  readonly device: Device
  #serving: Running | undefined
  #agent: Bun.Subprocess | undefined

  constructor(device: Device) {
    this.device = device
    BENCHES.add(this)
  }

  async startServe({ socket = join(this.device.state, 'serve.sock'), port = 0 } = {}): Promise<void> {
    const models = join(this.device.state, 'models')
    await mkdir(models, { recursive: true })
    this.#serving = await startServing(this.device.home, {
      command: [BINARY, 'serve', '--models', models, '--unix-socket', socket, '--port', String(port)],
    })
  }

  startAgent(env: Readonly<Record<string, string>> = {}): void {
    this.#agent = Bun.spawn([BINARY, 'agent'], {
      cwd: this.device.home,
      env: { ...cleanEnvironment(this.device.home), ...env },
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: Bun.file(join(this.device.home, 'agent.log')),
    })
  }

  /** Both of them, and whoever looks after them. */
  async startUp(env: Readonly<Record<string, string>> = {}, settings = ''): Promise<void> {
    this.#serving = await startUp(this.device, settings, env)
  }

  ask(): Promise<string> {
    return askScale(this.#serving?.url ?? '')
  }

  get url(): string {
    return this.#serving?.url ?? ''
  }

  get servePid(): number {
    return this.#serving?.pid ?? 0
  }

  get agentPid(): number {
    return this.#agent?.pid ?? 0
  }

  get hasAgentEnded(): boolean {
    return this.#agent !== undefined && (this.#agent.exitCode !== null || this.#agent.signalCode !== null)
  }

  /** What the crash point was called at which it was killed; throws where it ended otherwise. */
  async crashPoint(): Promise<string> {
    const log = await this.log()
    const what = [...log.matchAll(/"what":"([^"]+)","event":"app.crash_point"/g)].at(-1)?.[1]
    if (this.#agent?.signalCode === 'SIGKILL' && what !== undefined) return what
    throw new Error(`The agent ended with ${this.#agent?.exitCode ?? this.#agent?.signalCode}: ${log}`)
  }

  async killServe(): Promise<void> {
    await this.#serving?.stop('SIGKILL')
    this.#serving = undefined
  }

  async killAgent(): Promise<void> {
    this.#agent?.kill('SIGKILL')
    await this.#agent?.exited
    this.#agent = undefined
  }

  /** As a power cut does it. */
  async kill(): Promise<void> {
    await Promise.all([this.killAgent(), this.killServe()])
  }

  /** As a person does it; what does not end well is told. */
  async stop(): Promise<void> {
    this.#agent?.kill('SIGTERM')
    const codes = [await this.#agent?.exited, await this.#serving?.stop()]
    // By the signal itself, where it came before there was somebody to heed it.
    const hasFailed = codes.some((code) => code !== undefined && code !== 0 && code !== SIGTERM_CODE)
    this.#agent = undefined
    this.#serving = undefined
    if (hasFailed) throw new Error(`Ended with ${codes}: ${await this.log()}`)
  }

  /** As `stop`, where a crash point may come before the end. */
  async stopOrCrash(): Promise<'stopped' | 'crashed'> {
    this.#agent?.kill('SIGTERM')
    await this.#agent?.exited
    return this.#agent?.signalCode === 'SIGKILL' ? 'crashed' : 'stopped'
  }

  async log(): Promise<string> {
    const read = (name: string) =>
      Bun.file(join(this.device.home, name))
        .text()
        .catch(() => '')
    return `${await read('agent.log')}\n${await read('stderr.log')}`
  }
}

const BENCHES = new Set<Bench>()

/** For the end of a run: where something failed halfway, processes are left. */
export async function killAll(): Promise<void> {
  await Promise.all([...BENCHES].map((bench) => bench.kill()))
}

/** Asks all the while, and remembers each answer once. */
export class Caller {
  readonly answers = new Set<string>()
  readonly #done: Promise<void>
  #isOver = false

  constructor(ask: () => Promise<unknown>) {
    this.#done = this.#run(ask)
  }

  async stop(): Promise<readonly string[]> {
    this.#isOver = true
    await this.#done
    return [...this.answers]
  }

  async #run(ask: () => Promise<unknown>): Promise<void> {
    while (!this.#isOver) {
      this.answers.add(String(await ask()))
      await Bun.sleep(PAUSE_MS)
    }
  }
}

const PAUSE_MS = 50
const SIGTERM_CODE = 143

/** Until the agent has been killed, or `look` finds something. */
export async function untilCrashed<T>(
  bench: Bench,
  look: () => Promise<T | undefined>,
): Promise<T | 'crashed'> {
  return await eventually<T | 'crashed' | undefined>('the agent is killed, or done', async () =>
    bench.hasAgentEnded ? 'crashed' : await look(),
  )
}
