import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Measured, Source } from './source.ts'

const LOG = logger('health')
/** A source has this long; what it says later is let go. */
const ANSWER_MS_MAX = 2_000
/** Of one source: what more it says is let go. */
const VALUES_MAX = 512

interface Asked {
  readonly source: Source
  /** Set while a question hangs: it is not asked a second time, so that one hanging driver costs one thread at most. */
  isHanging: boolean
  skipped: number
  problem: string
}

/** Asks all sources at once, and waits for none longer than it may. */
export class Sampler {
  readonly #clock: Clock
  readonly #asked: readonly Asked[]

  constructor({ sources, clock }: { sources: readonly Source[]; clock: Clock }) {
    this.#clock = clock
    this.#asked = sources.map((source) => ({ source, isHanging: false, skipped: 0, problem: '' }))
  }

  /** What was measured, and of each source that has failed, how often. Never throws. */
  async sample(): Promise<Measured[]> {
    const all = await Promise.all(this.#asked.map((each) => this.#ask(each)))
    return [
      ...all.flat(),
      ...this.#asked
        .filter(({ skipped }) => skipped > 0)
        .map(({ source, skipped }) => ({
          name: 'health_source_skipped_total',
          labels: { source: source.name },
          value: skipped,
        })),
    ]
  }

  /** Sources that said nothing when they were asked last, and why. */
  get problems(): { source: string; skipped: number; reason: string }[] {
    return this.#asked
      .filter(({ problem }) => problem !== '')
      .map(({ source, skipped, problem }) => ({ source: source.name, skipped, reason: problem }))
  }

  async #ask(asked: Asked): Promise<readonly Measured[]> {
    if (asked.isHanging) return this.#skip(asked, 'its last answer has not come yet')
    asked.isHanging = true
    const answer = asked.source.read().then(
      (values) => ({ values }),
      (error: unknown) => ({ reason: messageOf(error) }),
    )
    void answer.then(() => {
      asked.isHanging = false
    })
    const stop = new AbortController()
    const late = this.#clock.sleep(ANSWER_MS_MAX, stop.signal).then(() => ({
      reason: `no answer within ${ANSWER_MS_MAX} ms`,
    }))
    const first = await Promise.race([answer, late])
    stop.abort()
    if ('reason' in first) return this.#skip(asked, first.reason)
    asked.problem = ''
    return first.values.slice(0, VALUES_MAX)
  }

  #skip(asked: Asked, reason: string): readonly [] {
    if (asked.problem === '') LOG.warn('health.source_skipped', { source: asked.source.name, reason })
    asked.problem = reason
    asked.skipped += 1
    return []
  }
}
