import type { Clock } from '../../kit/clock.ts'
import { BugError, EdgeError } from '../../kit/errors.ts'
import type { ModelMetadata, RunRequest, RunResult, Session, Signature } from '../../runtime/backend.ts'
import type { SequencePart } from '../sequences/plan.ts'
import { type EnsembleStep, type PlannedStep, planRun } from './plan.ts'
import { EnsembleRun, type StepLane } from './run.ts'

const METADATA: ModelMetadata = {
  producer: '',
  graph: '',
  domain: '',
  description: '',
  version: undefined,
  custom: {},
}

/** Between two looks one of them may have gone again; where they do not fit in together that goes on for ever. */
const ROUNDS_MAX = 5

interface EnsembleParts {
  /** "model/version" */
  readonly id: string
  readonly steps: readonly EnsembleStep[]
  readonly signature: Signature
  readonly clock: Clock
  /** The lane that serves now, or is on its way; asked for each request, so that a new version is taken up at once. */
  readonly obtain: (
    model: string,
    version: string | undefined,
    of: { signal: AbortSignal | undefined; sequence: SequencePart | undefined },
  ) => StepLane | Promise<StepLane>
}

/** An ensemble where a model would be: a lane around it counts, checks and drains as around any other. */
export class EnsembleSession implements Session {
  readonly signature: Signature
  readonly metadata = METADATA
  readonly providers: readonly string[] = []
  readonly refusals = []
  readonly placement = undefined
  readonly arenaBytes = undefined
  readonly #parts: EnsembleParts
  /** For requests that want every output, which most do. */
  readonly #whole: readonly PlannedStep[]

  constructor(parts: EnsembleParts) {
    this.#parts = parts
    this.signature = parts.signature
    const all = parts.signature.outputs.map(({ name }) => name)
    this.#whole = planRun(parts.steps, all)
  }

  /**
   * Takes all lanes at once. Where some have to be waited for nothing is held meanwhile: what comes may need the memory
   * of those that are there.
   */
  async run(request: RunRequest): Promise<RunResult> {
    const { id, steps, clock } = this.#parts
    const isWhole = request.outputs.length === this.signature.outputs.length
    const plan = isWhole ? this.#whole : planRun(steps, request.outputs)
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const found = plan.map((planned) => this.#ask(planned, request))
      const lanes = found.filter((lane) => !(lane instanceof Promise)) as StepLane[]
      // In the same turn: a lane that nobody holds may be gone in the next.
      if (lanes.length === plan.length)
        return await new EnsembleRun({ id, plan, lanes, request, clock }).run()
      await Promise.all(found)
    }
    const what = 'its models were never loaded all at once: is models.memory_bytes_max too small for them?'
    throw new EdgeError('model_unavailable', `Cannot infer with "${id}": ${what}`)
  }

  runInline(): RunResult {
    throw new BugError(`"${this.#parts.id}" is an ensemble: its steps have to be waited for`)
  }

  /** Its steps' lanes are not its own. */
  close(): Promise<void> {
    return Promise.resolve()
  }

  #ask({ index, step }: PlannedStep, { signal, wishes }: RunRequest): StepLane | Promise<StepLane> {
    const refuse = (cause: unknown): never => {
      if (!(cause instanceof EdgeError)) throw cause
      // To the client the ensemble is there, and cannot answer for now.
      const code = cause.code === 'model_unknown' ? 'model_unavailable' : cause.code
      const what = `step ${index + 1} ("${step.model}"): ${cause.message}`
      throw new EdgeError(code, `Cannot infer with "${this.#parts.id}": ${what}`, { cause })
    }
    try {
      const lane = this.#parts.obtain(step.model, step.version, { signal, sequence: wishes?.sequence })
      return lane instanceof Promise ? lane.catch(refuse) : lane
    } catch (error) {
      return refuse(error)
    }
  }
}
