import { asArray, asBoolean, asObject, asParameters, invalid, type Json, show } from './fields.ts'
import { findShared, type SharedRegions } from './shared-regions.ts'

/** One of the outputs that a request asks for, and how it is to be answered. */
export interface WantedOutput {
  readonly name: string
  readonly isBinary: boolean
  /** So many of the largest values with their labels instead of the tensor; undefined: the tensor. */
  readonly classes?: number | undefined
  /** Where its bytes go instead of into the answer. */
  readonly shared?: Uint8Array | undefined
}

/** A tensor has no more elements than this, so no more classes either. */
const CLASSES_MAX = 2 ** 31

/** Before shared memory is looked at. */
export interface ParsedOutput extends WantedOutput {
  /** The parameters that say where its bytes go. */
  readonly sharedAt: Json | undefined
}

export function decodeOutputs(value: unknown, how: { isBinaryOutput: boolean }): ParsedOutput[] {
  const seen = new Set<string>()
  return asArray(value, '"outputs"').map((item, index) => {
    const output = asObject(item, `outputs[${index}]`)
    const name = output['name']
    if (typeof name !== 'string' || name === '')
      throw invalid(`Cannot decode outputs[${index}]: it has no "name"`)
    if (seen.has(name)) throw invalid(`Cannot decode the request: output '${name}' already exists in request`)
    seen.add(name)
    const parameters = asParameters(output['parameters'], `Output "${name}"`)
    const isBinary = asBoolean(parameters['binary_data'], 'binary_data')
    const classes = asClasses(name, parameters)
    const sharedAt = parameters['shared_memory_region'] === undefined ? undefined : parameters
    if (sharedAt !== undefined && (classes !== undefined || isBinary === true)) {
      throw invalid(
        `Cannot answer output "${name}" in shared memory: expected neither classification nor binary_data`,
      )
    }
    return { name, isBinary: isBinary ?? how.isBinaryOutput, classes, sharedAt }
  })
}

export function bindOutput(output: ParsedOutput, regions: SharedRegions | undefined): WantedOutput {
  return output.sharedAt === undefined ? output : { ...output, shared: findShared(output.sharedAt, regions) }
}

/** 0 is what clients send for "not classified". */
function asClasses(output: string, { classification }: Json): number | undefined {
  if (classification === undefined || classification === 0) return undefined
  if (typeof classification === 'number' && Number.isSafeInteger(classification)) {
    if (classification > 0 && classification <= CLASSES_MAX) return classification
  }
  throw invalid(
    `Cannot answer output "${output}": classification is ${show(classification)}, expected how many classes: 1 or more`,
  )
}
