import { mkdir } from 'node:fs/promises'
import { type Config, loadConfig } from '../config/config.ts'
import { childEnvironment, readEnvironment, SUPERVISED } from '../config/environment.ts'
import { afterFailure, type BackoffPolicy } from '../kit/backoff.ts'
import { type Clock, systemClock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'
import { type Logger, logger, setLogLevel } from '../kit/log.ts'
import { isEnrolled } from './agent/enrolment.ts'
import { deviceFolders } from './agent/folders.ts'
import { askHealth, healthHeaders, healthPath } from './ask-health.ts'
import { keepLogOf } from './keep-log.ts'
import { ownCommand } from './own-command.ts'
import { openServiceManager, type ServiceManager } from './service-manager.ts'
import { isRestartOrder } from './up-orders.ts'
import { keepWatch, type Seen } from './watchdog.ts'

const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 30_000
const HEALTHY_MS = 60_000

export interface UpOptions {
  readonly config: string | undefined
  readonly state: string | undefined
  /** As given; undefined where nobody has said. */
  readonly models: string | undefined
  /** For `limpet serve`, beside the models. */
  readonly serveArgs: readonly string[]
}

/**
 * The supervisor: starts `limpet serve`, and `limpet agent` where the device is enrolled, watches them, starts them
 * again. No other logic, so that it cannot break.
 */
export async function runUp(options: UpOptions): Promise<void> {
  const environment = readEnvironment()
  const config = await loadConfig(options.config ?? environment.config)
  setLogLevel(config.log_level)
  const stopping = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
    process.on(signal, () => stopping.abort(signal))
  const state = options.state ?? environment.state
  const isOfFleet = await isEnrolled(state)
  if (isOfFleet) keepLogOf('up', state)
  const manager = openServiceManager(environment)
  const commands = isOfFleet
    ? await enrolled(options, { state, config })
    : await alone(options, { state, config, isWatched: manager !== undefined })
  const take = (message: unknown) => {
    if (isRestartOrder(message)) children[0]?.restart()
  }
  const children: readonly Supervised[] = commands.map(
    (args) => new Supervised(args, { config, clock: systemClock, stop: stopping.signal, take }),
  )
  const watch = { state, config, watchdogMs: environment.watchdogMs, children, stop: stopping.signal }
  try {
    await Promise.all([...children.map((child) => child.run()), manager && tell(manager, watch)])
  } catch (error) {
    // Nothing can be served: the agent alone would be no appliance, and whoever started this may do better.
    stopping.abort()
    await Promise.allSettled(children.map((child) => child.ended))
    throw error
  }
}

const MODELS_DEFAULT = 'models'

/** Who is watched is asked on a socket of its own: its port may be any, and its address one of many. */
async function alone(
  { models = MODELS_DEFAULT, serveArgs }: UpOptions,
  { state, config, isWatched }: { state: string; config: Config; isWatched: boolean },
): Promise<string[][]> {
  const args = ['serve', '--models', models, ...serveArgs]
  if (!isWatched) return [args]
  await mkdir(state, { recursive: true })
  return [[...args, '--unix-socket', deviceFolders(state, config).serveSocket]]
}

/** Keeps the service manager up to date. */
async function tell(
  manager: ServiceManager,
  of: {
    state: string
    config: Config
    watchdogMs: number | undefined
    children: readonly Supervised[]
    stop: AbortSignal
  },
): Promise<void> {
  const { state, config, watchdogMs, children, stop } = of
  const { serveSocket: socket } = deviceFolders(state, config)
  // Where they cannot be read, serve itself will say so and end.
  const headers = await healthHeaders(config).catch(() => ({}))
  const ask = async (question: 'ready' | 'live', ms: number) =>
    (await askHealth({ url: `http://localhost${healthPath(config, question)}`, socket, headers }, ms)).is
  const look = async (answerMs: number): Promise<Omit<Seen, 'isStarted'>> => {
    const ready = await ask('ready', answerMs)
    const isAlive = ready === 'bad' && (await ask('live', answerMs)) === 'good'
    const serve = ready === 'good' ? 'ready' : isAlive ? 'live' : 'silent'
    return { serve, agentAwayMs: children[1]?.awayMs ?? 0 }
  }
  await keepWatch({ manager, clock: systemClock, watchdogMs, look, stop })
}

/** What is served is what the agent points at; models given here are those that the device came with. */
async function enrolled(
  { models, config: path, serveArgs }: UpOptions,
  { state, config }: { state: string; config: Config },
): Promise<string[][]> {
  const folders = deviceFolders(state, config)
  if (config.models.control !== 'explicit') {
    throw new EdgeError(
      'config_invalid',
      `Cannot serve what the registry assigns with models.control = "${config.models.control}": expected "explicit"`,
    )
  }
  await mkdir(folders.models, { recursive: true })
  const common = ['--state', state, ...(path === undefined ? [] : ['--config', path])]
  return [
    ['serve', '--models', folders.models, '--unix-socket', folders.serveSocket, ...serveArgs],
    ['agent', ...common, ...(models === undefined ? [] : ['--built-in', models])],
  ]
}

/** One child process, kept alive until the stop signal or a crash loop. */
class Supervised {
  readonly #args: readonly string[]
  /** "serve" or "agent". */
  readonly #name: string
  /** Without the agent the device goes on serving what it has: it is tried again for ever, and no reason to stop. */
  readonly #mayFail: boolean
  readonly #clock: Clock
  readonly #stop: AbortSignal
  readonly #stopMs: number
  readonly #policy: BackoffPolicy
  readonly #log: Logger = logger('app')
  /** Of what it says, which only the agent does. */
  readonly #take: (message: unknown) => void
  #restart = new AbortController()
  #ended: Promise<void> = Promise.resolve()
  #awaySince: number | undefined

  constructor(
    args: readonly string[],
    options: { config: Config; clock: Clock; stop: AbortSignal; take: (message: unknown) => void },
  ) {
    const { supervisor } = options.config
    this.#args = args
    this.#name = args[0] ?? ''
    this.#mayFail = this.#name === 'agent'
    this.#clock = options.clock
    this.#awaySince = options.clock.elapsed()
    this.#stop = options.stop
    this.#take = options.take
    this.#stopMs = supervisor.stop_seconds_max * 1000
    this.#policy = {
      firstMs: FIRST_WAIT_MS,
      longestMs: LONGEST_WAIT_MS,
      healthyMs: HEALTHY_MS,
      failuresMax: supervisor.failures_max,
    }
  }

  /** For how long it has not been running; 0 while it is. */
  get awayMs(): number {
    return this.#awaySince === undefined ? 0 : this.#clock.elapsed() - this.#awaySince
  }

  /** Resolves when it runs no more and is not started again. */
  get ended(): Promise<void> {
    return this.#ended
  }

  run(): Promise<void> {
    this.#ended = this.#keep()
    return this.#ended
  }

  /** Stops it as gently as at the end, and starts it again: nothing has failed. */
  restart(): void {
    this.#restart.abort()
  }

  async #keep(): Promise<void> {
    let failures = { inARow: 0 }
    while (!this.#stop.aborted) {
      const began = this.#clock.elapsed()
      const ended = await this.#runOnce()
      if (this.#stop.aborted) return
      if (this.#restart.signal.aborted) {
        this.#log.info('app.restarted_as_asked', { process: this.#name, ...ended })
        continue
      }
      const ranMs = Math.round(this.#clock.elapsed() - began)
      if (ended.exitCode === EXIT_CONFIG && !this.#mayFail)
        throw new EdgeError('config_invalid', `Cannot ${this.#name}: see the message above`)
      const next = afterFailure(this.#policy, failures, ranMs)
      failures = next.failures
      const fields = { process: this.#name, ...ended, ran_ms: ranMs, failures_in_a_row: failures.inARow }
      if (next.verdict.do === 'give_up') {
        this.#log.error('app.crash_loop', fields)
        if (this.#mayFail) {
          failures = { inARow: 0 }
          await this.#clock.sleep(LONGEST_WAIT_MS, this.#stop)
          continue
        }
        throw new EdgeError(
          'runtime_failed',
          `Cannot keep "limpet ${this.#name}" running: it ended ${failures.inARow} times in a row within ` +
            `${HEALTHY_MS / 1000} s, the last time with ${describeEnd(ended)}; run "limpet doctor" for the cause`,
        )
      }
      this.#log.warn('app.restarting', { ...fields, after_ms: next.verdict.afterMs })
      await this.#clock.sleep(next.verdict.afterMs, this.#stop)
    }
  }

  async #runOnce(): Promise<Ended> {
    const child = Bun.spawn([...ownCommand(), ...this.#args], {
      // Never written to: when this process dies, however it dies, the child sees the end of it and stops.
      stdin: 'pipe',
      stdout: 'inherit',
      stderr: 'inherit',
      ...(this.#name === 'agent' && { ipc: (message: unknown) => this.#take(message) }),
      env: childEnvironment({ [SUPERVISED]: '1', ORT_DISABLE_TELEMETRY: '1', ORT_TELEMETRY_DISABLED: '1' }),
    })
    this.#awaySince = undefined
    const end = () => void this.#end(child)
    this.#restart = new AbortController()
    const ending = AbortSignal.any([this.#stop, this.#restart.signal])
    ending.addEventListener('abort', end, { once: true })
    await child.exited
    this.#awaySince = this.#clock.elapsed()
    ending.removeEventListener('abort', end)
    return { exitCode: child.exitCode, signal: child.signalCode === null ? null : String(child.signalCode) }
  }

  /** Asks first, and kills when the answer takes too long. */
  async #end(child: Bun.Subprocess): Promise<void> {
    child.kill('SIGTERM')
    const deadline = new AbortController()
    void child.exited.then(() => deadline.abort())
    await this.#clock.sleep(this.#stopMs, deadline.signal)
    if (child.exitCode !== null || child.signalCode !== null) return
    this.#log.error('app.killed', { pid: child.pid, after_ms: this.#stopMs })
    child.kill('SIGKILL')
  }
}

interface Ended {
  readonly exitCode: number | null
  readonly signal: string | null
}

/** A wrong setting does not get right by trying again. */
const EXIT_CONFIG = 78

function describeEnd({ exitCode, signal }: Ended): string {
  return signal === null ? `exit code ${exitCode}` : `signal ${signal}`
}
