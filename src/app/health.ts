import { loadConfig } from '../config/config.ts'
import { readEnvironment } from '../config/environment.ts'
import { systemClock } from '../kit/clock.ts'
import { askHealth, type Health, type HealthAddress, serveHealth } from './ask-health.ts'
import { EXIT } from './exit-codes.ts'

export interface HealthOptions {
  readonly url: string | undefined
  readonly socket: string | undefined
  readonly live: boolean
  readonly registry: boolean
  readonly waitSeconds: number
  readonly timeoutMs: number
  readonly config: string | undefined
  readonly state: string | undefined
}

const PAUSE_MS = 200
const REGISTRY_URL = 'http://127.0.0.1:8100'

/** `limpet health`: one line, and an exit code for whoever restarts what is not well. */
export async function runHealth(options: HealthOptions, print: (line: string) => void): Promise<number> {
  const until = systemClock.elapsed() + options.waitSeconds * 1000
  for (;;) {
    // Found anew each time: what is about to start may yet make its socket.
    const at = await addressOf(options)
    const health = await askHealth(at, options.timeoutMs)
    if (health.is === 'good' || systemClock.elapsed() >= until) {
      print(describe(health, at))
      return health.is === 'good' ? EXIT.ok : health.is === 'bad' ? EXIT.failed : EXIT.unavailable
    }
    await systemClock.sleep(PAUSE_MS)
  }
}

async function addressOf({ url, socket, live, registry, ...more }: HealthOptions): Promise<HealthAddress> {
  const question = live ? 'live' : 'ready'
  const path = registry ? '/v1/health' : `/v2/health/${question}`
  if (url !== undefined) return { url: `${url.replace(/\/+$/, '')}${path}` }
  if (socket !== undefined) return { url: `http://localhost${path}`, socket }
  if (registry) return { url: `${REGISTRY_URL}${path}` }
  const environment = readEnvironment()
  const config = await loadConfig(more.config ?? environment.config)
  return await serveHealth(config, { state: more.state ?? environment.state, question })
}

function describe({ is, answer }: Health, { url, socket }: HealthAddress): string {
  const where = socket === undefined ? url : `${new URL(url).pathname} on "${socket}"`
  if (is === 'good') return `well: ${where}`
  return is === 'bad' ? `not well: ${where} answers ${answer}` : `no answer: ${where}: ${answer}`
}
