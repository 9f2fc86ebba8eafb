import { areFinite } from '../inference/finite.ts'
import type { RequestEye, RequestWatch, SeenRequest } from '../inference/request-watch.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Tensor } from '../runtime/backend.ts'
import { Capture } from './capture.ts'

const LOG = logger('inference')

/** Shows requests to those who keep them. */
export class Watch implements RequestWatch {
  readonly #capture: Capture

  constructor(parts: { capture: Capture }) {
    this.#capture = parts.capture
  }

  look({ model, version }: { model: string; version: string }): RequestEye | undefined {
    const chosen = this.#capture.choose(model)
    if (chosen === undefined) return undefined
    const { rule, isSampled } = chosen
    const of = { model, version, rule }
    return {
      answered: (seen) => unharmed(() => this.#answered(of, { ...seen, isSampled })),
      failed: ({ error, ...seen }) =>
        unharmed(() => {
          if (Capture.isFailure(error)) this.#capture.take(of, { ...seen, outputs: [], error })
        }),
    }
  }

  #answered(
    of: Parameters<Capture['take']>[0],
    { isSampled, ...seen }: SeenRequest & { outputs: readonly Tensor[]; isSampled: boolean },
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
