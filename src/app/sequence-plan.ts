import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModelSettings } from '../config/model-settings.ts'
import type { SequencePlan, StatePlan } from '../inference/sequences/plan.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { pathProblem } from '../store/sent-files.ts'

type SequenceSettings = NonNullable<ModelSettings['sequences']>
type StateSettings = SequenceSettings['states'][number]

const CANDIDATES_DEFAULT = 64
const FILE_BYTES_MAX = 256 * 1024 * 1024

/** How a model's sequences are run, in the words of the engine; what they begin with is read from the model's folder. */
export async function planSequences(
  folder: string,
  { sequences, outputs }: Pick<ModelSettings, 'sequences' | 'outputs'>,
): Promise<SequencePlan | undefined> {
  if (sequences === undefined) return undefined
  const shown = new Set(outputs.map(({ name }) => name))
  const states: StatePlan[] = []
  for (const state of sequences.states) states.push(await planState(folder, state, shown.has(state.output)))
  return {
    strategy: planStrategy(sequences),
    idleMsMax: sequences.idle_us_max / 1000,
    stateBytesMax: sequences.state_bytes_max,
    controls: sequences.controls.map(({ name, kind, datatype, false_true: falseTrue }) => ({
      name,
      kind,
      datatype,
      falseTrue,
    })),
    states,
  }
}

function planStrategy(sequences: SequenceSettings): SequencePlan['strategy'] {
  if (sequences.strategy === 'oldest') {
    return { kind: 'oldest', candidatesMax: sequences.candidates_max ?? CANDIDATES_DEFAULT }
  }
  return {
    kind: 'direct',
    queueDelayMsMax: sequences.queue_delay_us_max / 1000,
    slotUtilizationMin: sequences.slot_utilization_min ?? 0,
  }
}

async function planState(folder: string, state: StateSettings, isShown: boolean): Promise<StatePlan> {
  const { input, output, datatype, dims, initial } = state
  if (initial === undefined) return { input, output, datatype, dims, initial, isShown }
  const { file } = initial
  const bytes = file === undefined ? undefined : await readInitial(folder, { input, file })
  // Triton's may say nothing of them: then they are the state's.
  const own = initial.dims?.length === 0 ? undefined : initial.dims
  const begins = { name: initial.name, datatype: initial.datatype, dims: own, file, bytes }
  return { input, output, datatype, dims, initial: begins, isShown }
}

async function readInitial(folder: string, from: { input: string; file: string }): Promise<Uint8Array> {
  const path = join(folder, 'initial_state', from.file)
  const refuse = (what: string, cause?: unknown) =>
    new EdgeError('config_invalid', `Cannot read "${path}", what "${from.input}" begins with: ${what}`, {
      cause,
    })
  const problem = pathProblem([from.file])
  if (problem !== undefined) throw refuse(problem)
  try {
    const { size } = await stat(path)
    if (size > FILE_BYTES_MAX) throw refuse(`it has ${size} bytes, at most ${FILE_BYTES_MAX}`)
    return new Uint8Array(await Bun.file(path).arrayBuffer())
  } catch (cause) {
    throw cause instanceof EdgeError ? cause : refuse(messageOf(cause), cause)
  }
}
