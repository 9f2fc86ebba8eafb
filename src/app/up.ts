import { type Config, loadConfig } from '../config/config.ts'
import { childEnvironment, readEnvironment, SUPERVISED } from '../config/environment.ts'
import { afterFailure, type BackoffPolicy } from '../kit/backoff.ts'
import { type Clock, systemClock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'
import { type Logger, logger, setLogLevel } from '../kit/log.ts'
import { ownCommand } from './own-command.ts'

const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 30_000
const HEALTHY_MS = 60_000

/** The supervisor: starts `limpet serve`, watches it, starts it again. No other logic, so that it cannot break. */
export async function runUp(options: {
  config: string | undefined
  serveArgs: readonly string[]
}): Promise<void> {
  const config = await loadConfig(options.config ?? readEnvironment().config)
  setLogLevel(config.log_level)
  const stopping = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
    process.on(signal, () => stopping.abort(signal))
  const child = new Supervised(['serve', ...options.serveArgs], {
    config,
    clock: systemClock,
    stop: stopping.signal,
  })
  await child.run()
}

/** One child process, kept alive until the stop signal or a crash loop. */
class Supervised {
  readonly #args: readonly string[]
  readonly #clock: Clock
  readonly #stop: AbortSignal
  readonly #stopMs: number
  readonly #policy: BackoffPolicy
  readonly #log: Logger = logger('app')

  constructor(args: readonly string[], options: { config: Config; clock: Clock; stop: AbortSignal }) {
    const { supervisor } = options.config
    this.#args = args
    this.#clock = options.clock
    this.#stop = options.stop
    this.#stopMs = supervisor.stop_seconds_max * 1000
    this.#policy = {
      firstMs: FIRST_WAIT_MS,
      longestMs: LONGEST_WAIT_MS,
      healthyMs: HEALTHY_MS,
      failuresMax: supervisor.failures_max,
    }
  }

  async run(): Promise<void> {
    let failures = { inARow: 0 }
    while (!this.#stop.aborted) {
      const began = this.#clock.elapsed()
      const ended = await this.#runOnce()
      if (this.#stop.aborted) return
      const ranMs = Math.round(this.#clock.elapsed() - began)
      if (ended.exitCode === EXIT_CONFIG)
        throw new EdgeError('config_invalid', 'Cannot serve: see the message above')
      const next = afterFailure(this.#policy, failures, ranMs)
      failures = next.failures
      const fields = { ...ended, ran_ms: ranMs, failures_in_a_row: failures.inARow }
      if (next.verdict.do === 'give_up') {
        this.#log.error('app.crash_loop', fields)
        throw new EdgeError(
          'runtime_failed',
          `Cannot keep "limpet serve" running: it ended ${failures.inARow} times in a row within ` +
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
      env: childEnvironment({ [SUPERVISED]: '1', ORT_DISABLE_TELEMETRY: '1', ORT_TELEMETRY_DISABLED: '1' }),
    })
    const end = () => void this.#end(child)
    this.#stop.addEventListener('abort', end, { once: true })
    await child.exited
    this.#stop.removeEventListener('abort', end)
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
