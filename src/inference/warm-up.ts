import type { Clock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import type { Signature } from '../runtime/backend.ts'
import type { LaneRequest, LaneResult } from './job.ts'
import { makeInputs, type WarmUpSample } from './warm-up-inputs.ts'

/** What a version is run on before it is ready: Triton's `ModelWarmup`. */
export interface WarmUp {
  readonly samples: readonly WarmUpSample[]
  /** For all samples of one version together. */
  readonly msMax: number
}

export const NO_WARM_UP: WarmUp = { samples: [], msMax: 0 }

/** Where a model's requests belong to sequences, each run of a sample is one. */
const WHOLE_SEQUENCE = { id: 1n, isStart: true, isEnd: true }

interface Trial {
  /** "model/version" */
  readonly id: string
  readonly session: { readonly signature: Signature }
  readonly batchSizeMax: number
  infer(request: LaneRequest): Promise<LaneResult>
}

/** Runs every sample, one run after the other; what goes wrong is said with the sample's name. */
export async function warmUp(trial: Trial, { samples, msMax }: WarmUp, clock: Clock): Promise<void> {
  if (samples.length === 0) return
  const [timeUp, done] = [new AbortController(), new AbortController()]
  void clock.sleep(msMax, done.signal).then(() => timeUp.abort())
  try {
    for (const sample of samples) {
      await runSample(trial, sample, timeUp.signal).catch((cause: unknown) => {
        const why = timeUp.signal.aborted
          ? `it took more than ${msMax} ms (models.warmup_seconds_max)`
          : `${messageOf(cause)}${adviceFor(trial, sample)}`
        throw new EdgeError(
          'model_invalid',
          `Cannot warm up "${trial.id}" with the sample "${sample.name}": ${why}`,
          { cause },
        )
      })
    }
  } finally {
    done.abort()
  }
}

/** Not every model takes the smallest shape that its signature allows. */
function adviceFor({ session }: Trial, { inputs }: WarmUpSample): string {
  const isOpen = session.signature.inputs.some(({ shape }) => shape === undefined || shape.includes(-1))
  if (inputs.length > 0 || !isOpen) return ''
  return '; dimensions that the model leaves open were taken as 1, name the inputs and their dims to say otherwise'
}

async function runSample(trial: Trial, sample: WarmUpSample, signal: AbortSignal): Promise<void> {
  const inputs = makeInputs(sample, { signature: trial.session.signature, hasBatch: trial.batchSizeMax > 0 })
  for (let run = 0; run < sample.count; run += 1) {
    // A run in line does not look at the signal.
    signal.throwIfAborted()
    const result = await trial.infer({ inputs, outputs: undefined, signal, sequence: WHOLE_SEQUENCE })
    result.release()
  }
}
