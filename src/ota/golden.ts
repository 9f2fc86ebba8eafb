import { EdgeError } from '../kit/errors.ts'
import { parseExactJson } from '../kit/exact-json.ts'
import type { GoldenTolerance } from './ports.ts'

/**
 * Golden samples travel with a version: `inputs.json` holds an array of samples, each an array of tensors as the Open
 * Inference Protocol writes them, and `outputs.json` as many, in the same order, with the answers. A tensor has `data`
 * (numbers, booleans or strings, flat or nested; NaN and Infinity as bare words) or `b64`, its bytes as the binary
 * tensor extension has them. Outputs that are not named are not looked at.
 */
export const GOLDEN_FILES = { inputs: 'inputs.json', outputs: 'outputs.json' } as const
export const GOLDEN_BYTES_MAX = 64 * 1024 ** 2
const SAMPLES_MAX = 64
const TENSORS_MAX = 256
const RANK_MAX = 32

export interface GoldenTensor {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  /** One of the two. */
  readonly data: unknown
  readonly bytes: Uint8Array | undefined
}

export interface GoldenSample {
  readonly inputs: readonly GoldenTensor[]
  readonly outputs: readonly GoldenTensor[]
}

export function parseGolden(texts: { inputs: string; outputs: string }): GoldenSample[] {
  const inputs = parseSamples(GOLDEN_FILES.inputs, texts.inputs)
  const outputs = parseSamples(GOLDEN_FILES.outputs, texts.outputs)
  if (inputs.length !== outputs.length) {
    throw refuse(
      GOLDEN_FILES.outputs,
      `it holds ${outputs.length} samples, expected ${inputs.length} as in the inputs`,
    )
  }
  return inputs.map((tensors, index) => ({ inputs: tensors, outputs: outputs[index] ?? [] }))
}

function parseSamples(file: string, text: string): GoldenTensor[][] {
  const samples = parse(file, text)
  if (!Array.isArray(samples) || samples.length === 0 || samples.length > SAMPLES_MAX) {
    throw refuse(file, `expected an array of 1 to ${SAMPLES_MAX} samples`)
  }
  return samples.map((sample: unknown, index) => {
    if (!Array.isArray(sample) || sample.length === 0 || sample.length > TENSORS_MAX) {
      throw refuse(file, `sample ${index} is not an array of 1 to ${TENSORS_MAX} tensors`)
    }
    return sample.map((tensor: unknown) => parseTensor(file, index, tensor))
  })
}

function parse(file: string, text: string): unknown {
  try {
    return parseExactJson(text)
  } catch (cause) {
    throw refuse(file, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

function parseTensor(file: string, sample: number, tensor: unknown): GoldenTensor {
  const wrong = (what: string) => refuse(file, `sample ${sample}: ${what}`)
  if (typeof tensor !== 'object' || tensor === null) throw wrong('a tensor is not an object')
  const { name, datatype, shape, data, b64 } = tensor as Record<string, unknown>
  if (typeof name !== 'string' || name === '') throw wrong('a tensor has no "name"')
  if (typeof datatype !== 'string' || !/^[A-Z0-9]{1,16}$/.test(datatype))
    throw wrong(`tensor "${name}" has no "datatype" like FP32`)
  if (!isShape(shape)) throw wrong(`tensor "${name}" has no "shape" of whole numbers from 0 on`)
  if ((data === undefined) === (b64 === undefined))
    throw wrong(
      `tensor "${name}" has ${data === undefined ? 'neither' : 'both'} of "data" and "b64", expected one`,
    )
  if (b64 === undefined) return { name, datatype, shape, data, bytes: undefined }
  if (typeof b64 !== 'string' || !isBase64(b64)) throw wrong(`"b64" of tensor "${name}" is not base64`)
  // Memory of its own, which does not move while native code reads it.
  const bytes = new Uint8Array(new ArrayBuffer(Buffer.byteLength(b64, 'base64')))
  bytes.set(Buffer.from(b64, 'base64'))
  return { name, datatype, shape, data: undefined, bytes }
}

function isShape(shape: unknown): shape is number[] {
  const isSide = (side: unknown) => Number.isSafeInteger(side) && (side as number) >= 0
  return Array.isArray(shape) && shape.length <= RANK_MAX && shape.every(isSide)
}

function isBase64(text: string): boolean {
  return text.length % 4 === 0 && !/[^A-Za-z0-9+/=]/.test(text) && /^[^=]*={0,2}$/.test(text)
}

function refuse(file: string, what: string, cause?: unknown): EdgeError {
  return new EdgeError('model_invalid', `Cannot read the golden samples in "${file}": ${what}`, { cause })
}

/** A tensor with its elements as JavaScript has them. */
export interface Elements {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly values: ArrayLike<number | bigint | boolean | string>
}

export interface Difference {
  readonly code: 'golden_failed' | 'not_finite'
  readonly reason: string
}

/** What is wrong with an answer; undefined where nothing is. */
export function compareAnswer(
  expected: readonly Elements[],
  answered: readonly Elements[],
  tolerance: Pick<GoldenTolerance, 'absolute' | 'relative'>,
): Difference | undefined {
  for (const wanted of expected) {
    const came = answered.find(({ name }) => name === wanted.name)
    if (came === undefined) return { code: 'golden_failed', reason: `there is no output "${wanted.name}"` }
    const difference = compareForm(wanted, came) ?? compareValues(wanted, came, tolerance)
    if (difference !== undefined) return difference
  }
  return undefined
}

function compareForm(wanted: Elements, came: Elements): Difference | undefined {
  const form = ({ datatype, shape }: Elements) => `${datatype} [${shape.join(',')}]`
  if (form(wanted) === form(came)) return undefined
  return {
    code: 'golden_failed',
    reason: `output "${wanted.name}" is ${form(came)}, expected ${form(wanted)}`,
  }
}

function compareValues(
  wanted: Elements,
  came: Elements,
  { absolute, relative }: Pick<GoldenTolerance, 'absolute' | 'relative'>,
): Difference | undefined {
  const isFloat = /^B?FP?[0-9]/.test(wanted.datatype)
  for (let index = 0; index < wanted.values.length; index += 1) {
    const [e, a] = [wanted.values[index], came.values[index]]
    if (Object.is(e, a) || e === a) continue
    const at = `output "${wanted.name}" holds ${a} at ${index}, expected ${e}`
    if (typeof e !== 'number' && typeof e !== 'bigint') return { code: 'golden_failed', reason: at }
    if (typeof a === 'number' && !Number.isFinite(a)) return { code: 'not_finite', reason: at }
    const off = Math.abs(Number(a) - Number(e))
    // A relative difference means nothing for a class or a word's number.
    const allowed = absolute + (isFloat ? relative * Math.abs(Number(e)) : 0)
    if (!(off <= allowed)) return { code: 'golden_failed', reason: `${at} within ${allowed}` }
  }
  return undefined
}
