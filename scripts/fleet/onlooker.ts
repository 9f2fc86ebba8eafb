/** Somebody at the console while all of this goes on: asks what its pages ask, and notes how long the answers take. */
import type { Central } from './central.ts'
import { percentile } from './figures.ts'

const PATHS = ['/v1/overview', '/v1/devices?count=100', '/v1/rollouts?count=20', '/metrics'] as const
const PAUSE_MS = 250

interface Answer {
  readonly path: string
  readonly tookMs: number
}

export class Onlooker {
  readonly #central: Central
  readonly #answers: Answer[] = []
  #unanswered = 0
  #isLooking = true
  #looking: Promise<void> | undefined

  constructor(central: Central) {
    this.#central = central
  }

  start(): void {
    this.#looking = this.#look()
  }

  async stop(): Promise<void> {
    this.#isLooking = false
    await this.#looking
  }

  /** From here on. */
  get mark(): number {
    return this.#answers.length
  }

  /** Nobody answers while the registry is dead: those questions are counted. */
  figures(since = 0): { answers: number; unanswered: number; p95: Record<string, number>; max: number } {
    const answers = this.#answers.slice(since)
    const took = (path: string) => answers.filter((one) => one.path === path).map(({ tookMs }) => tookMs)
    return {
      answers: answers.length,
      unanswered: this.#unanswered,
      p95: Object.fromEntries(PATHS.map((path) => [path, percentile(took(path), 0.95) ?? -1])),
      max: Math.max(0, ...answers.map(({ tookMs }) => tookMs)),
    }
  }

  async #look(): Promise<void> {
    while (this.#isLooking) {
      for (const path of PATHS) {
        await this.#ask(path)
        await Bun.sleep(PAUSE_MS)
      }
    }
  }

  async #ask(path: string): Promise<void> {
    const began = performance.now()
    try {
      const answer = await this.#central.registry.ask('GET', path)
      await answer.arrayBuffer()
      if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
      this.#answers.push({ path, tookMs: Math.round((performance.now() - began) * 10) / 10 })
    } catch {
      this.#unanswered += 1
    }
  }
}
