import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Datatype, decodeValues, encodeValues } from '../client/datatypes.ts'
import { flattenNested } from '../client/nested.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import {
  type Elements,
  GOLDEN_BYTES_MAX,
  GOLDEN_FILES,
  type GoldenSample,
  type GoldenTensor,
  parseGolden,
} from '../ota/golden.ts'
import type { Tensor } from '../runtime/backend.ts'
import { byteLength, elementCount, isDatatype } from '../runtime/datatypes.ts'

/** A golden sample in the words of the runtime. */
export interface RunnableSample {
  readonly inputs: readonly Tensor[]
  readonly expected: readonly Elements[]
}

/** Those in a folder of a version. */
export async function readGolden(folder: string): Promise<RunnableSample[]> {
  const [inputs, outputs] = await Promise.all([
    readBounded(join(folder, GOLDEN_FILES.inputs)),
    readBounded(join(folder, GOLDEN_FILES.outputs)),
  ])
  return parseGolden({ inputs, outputs }).map(toRunnable)
}

/** The inputs alone, for whoever is to make the answers. */
export async function readGoldenInputs(folder: string): Promise<(readonly Tensor[])[]> {
  const inputs = await readBounded(join(folder, GOLDEN_FILES.inputs))
  return parseGolden({ inputs, outputs: inputs }).map((sample) => sample.inputs.map(toTensor))
}

async function readBounded(path: string): Promise<string> {
  const file = await stat(path).catch((cause: unknown) => {
    throw new EdgeError('model_invalid', `Cannot read the golden samples: ${messageOf(cause)}`, { cause })
  })
  if (file.size <= GOLDEN_BYTES_MAX) return await readFile(path, 'utf8')
  throw new EdgeError(
    'model_invalid',
    `Cannot read the golden samples in "${path}": ${file.size} bytes, at most ${GOLDEN_BYTES_MAX}`,
  )
}

function toRunnable({ inputs, outputs }: GoldenSample): RunnableSample {
  return {
    inputs: inputs.map(toTensor),
    expected: outputs.map((output) => toElements(toTensor(output))),
  }
}

function toTensor({ name, datatype, shape, data, bytes }: GoldenTensor): Tensor {
  if (!isDatatype(datatype)) throw refuse(name, `"${datatype}" is no datatype`)
  const tensor = { name, datatype, shape, bytes: bytes ?? encode(name, datatype, data) }
  const expected = byteLength(datatype, elementCount(shape))
  if (datatype === 'BYTES' || tensor.bytes.length === expected) return tensor
  throw refuse(name, `it has ${tensor.bytes.length} bytes, ${datatype} [${shape.join(',')}] has ${expected}`)
}

function encode(name: string, datatype: string, data: unknown): Uint8Array {
  const known = Datatype.safeParse(datatype)
  if (!known.success) throw refuse(name, `${datatype} has no form in JSON, give its bytes as "b64"`)
  try {
    return encodeValues(known.data, flattenNested(data).values)
  } catch (cause) {
    throw refuse(name, messageOf(cause), cause)
  }
}

/** The elements of an answer, to be compared. What JavaScript has no numbers for is compared byte by byte. */
export function toElements({ name, datatype, shape, bytes }: Tensor): Elements {
  const known = Datatype.safeParse(datatype)
  return { name, datatype, shape, values: known.success ? decodeValues(known.data, bytes) : bytes }
}

function refuse(name: string, what: string, cause?: unknown): EdgeError {
  return new EdgeError('model_invalid', `Cannot read the golden tensor "${name}": ${what}`, { cause })
}
