import type { Lane } from '../inference/lane.ts'
import { zerosFor } from '../inference/warm-up-inputs.ts'

/** A sample of the settings, under their names. */
export interface ConfiguredWarmup {
  readonly name: string
  readonly count: number
  readonly batch_size: number
  readonly inputs: Readonly<Record<string, ConfiguredInput>>
}

interface ConfiguredInput {
  readonly datatype: string
  readonly dims: readonly number[]
  readonly content?: 'zeros' | 'random' | undefined
  readonly file?: string | undefined
}

/** A sample as Triton's `ModelWarmup` in JSON; one that names no inputs has those it is run on. */
export function warmupConfig({ name, count, batch_size, inputs }: ConfiguredWarmup, lane: Lane) {
  const named = Object.entries(inputs)
  const zeros = () => zerosFor(lane.session.signature, lane.batchSizeMax > 0)
  const all = named.length > 0 ? named : zeros().map((input) => [input.name, input] as const)
  return {
    name,
    batch_size,
    count,
    inputs: Object.fromEntries(all.map(([key, of]) => [key, inputConfig(of)])),
  }
}

function inputConfig({
  datatype,
  dims,
  content,
  file,
}: {
  datatype: string
  dims: readonly number[]
  content?: unknown
  file?: string | undefined
}) {
  const data_type = dataType(datatype)
  if (file !== undefined) return { data_type, dims, input_data_file: file }
  return { data_type, dims, ...(content === 'random' ? { random_data: true } : { zero_data: true }) }
}

/** Triton's list ends at BF16; a client that reads the enum takes no other word. */
export function dataType(datatype: string): string {
  if (datatype === 'BYTES') return 'TYPE_STRING'
  return /^(BOOL|U?INT(8|16|32|64)|FP(16|32|64)|BF16)$/.test(datatype) ? `TYPE_${datatype}` : 'TYPE_INVALID'
}
