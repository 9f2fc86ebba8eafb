import { areFinite } from '../inference/finite.ts'
import type { RequestEye, RequestWatch, SeenRequest } from '../inference/request-watch.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Tensor } from '../runtime/backend.ts'
import { Capture } from './capture.ts'
import type { Sketches } from './sketches.ts'

const LOG = logger('inference')

/** Shows requests to those who keep them. */
export class Watch implements RequestWatch {
  readonly #capture: Capture
  readonly #sketches: Sketches

  constructor(parts: { capture: Capture; sketches: Sketches }) {
    this.#capture = parts.capture
    this.#sketches = parts.sketches
  }

  look({ model, version }: { model: string; version: string }): RequestEye | undefined {
    const chosen = this.#capture.choose(model)
    const isSketched = this.#sketches.choose(model)
    if (chosen === undefined && !isSketched) return undefined
    const of = { model, version }
    return {
      answered: (seen) =>
        unharmed(() => {
          if (isSketched) this.#sketches.add(of, seen)
          if (chosen !== undefined) this.#keepAnswered({ ...of, ...chosen }, seen)
        }),
      failed: ({ error, ...seen }) =>
        unharmed(() => {
          if (chosen === undefined || !Capture.isFailure(error)) return
          this.#capture.take({ ...of, rule: chosen.rule }, { ...seen, outputs: [], error })
        }),
    }
  }

  #keepAnswered(
    { isSampled, ...of }: Parameters<Capture['take']>[0] & { readonly isSampled: boolean },
    seen: SeenRequest & { readonly outputs: readonly Tensor[] },
  ): void {
    if (of.rule.onFailure && !areFinite(seen.outputs)) {
      const error = new EdgeError('output_unsupported', 'The answer holds NaN or infinity')
      this.#capture.take(of, { ...seen, error })
    } else if (isSampled) this.#capture.take(of, seen)
  }
}

/** A request must not fail for being looked at. */
function unharmed(work: () => void): void {
  try {
    work()
  } catch (error) {
    LOG.error('inference.watch_failed', { reason: messageOf(error) })
  }
}
