import { z } from 'zod'
import { EdgeError } from '../kit/errors.ts'

/**
 * One request that was kept, as it lies in a file; a file is any number of them, one after the other:
 *
 *   "LCR1" │ uint32 bytes of the header │ uint32 bytes of the tensors │ header, JSON │ inputs in order │ outputs in order
 *
 * Numbers are little-endian, tensors row-major as in the binary tensor extension, so that "inputs" of the header and the
 * bytes that belong to it are a request as it was sent. What was cut off at the end of a file is no record.
 */
const MAGIC = Buffer.from('LCR1')
const HEAD_BYTES = 12
const HEADER_BYTES_MAX = 1024 ** 2

const TensorHeader = z.object({
  name: z.string(),
  datatype: z.string(),
  shape: z.array(z.int().min(0)),
  parameters: z.object({ binary_data_size: z.int().min(0) }),
})

const RecordHeader = z.object({
  id: z.string(),
  time: z.string(),
  model: z.string(),
  version: z.string(),
  reason: z.enum(['sample', 'failure']),
  /** What went wrong; null where it was answered as it should be. */
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  inputs: z.array(TensorHeader),
  outputs: z.array(TensorHeader),
})
type RecordHeader = z.infer<typeof RecordHeader>

export interface RecordTensor {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}

export interface CaptureRecord extends Omit<RecordHeader, 'inputs' | 'outputs'> {
  readonly inputs: readonly RecordTensor[]
  readonly outputs: readonly RecordTensor[]
}

export function tensorBytes(record: Pick<CaptureRecord, 'inputs' | 'outputs'>): number {
  return [...record.inputs, ...record.outputs].reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
}

/** The only copy of the tensors that is made. */
export function encodeRecord({ inputs, outputs, ...rest }: CaptureRecord): Uint8Array<ArrayBuffer> {
  const json = { ...rest, inputs: inputs.map(describe), outputs: outputs.map(describe) }
  const header = Buffer.from(JSON.stringify(json))
  const bytes = tensorBytes({ inputs, outputs })
  const record = new Uint8Array(new ArrayBuffer(HEAD_BYTES + header.byteLength + bytes))
  const view = new DataView(record.buffer)
  record.set(MAGIC)
  view.setUint32(4, header.byteLength, true)
  view.setUint32(8, bytes, true)
  record.set(header, HEAD_BYTES)
  let at = HEAD_BYTES + header.byteLength
  for (const tensor of [...inputs, ...outputs]) {
    record.set(tensor.bytes, at)
    at += tensor.bytes.byteLength
  }
  return record
}

function describe({ name, datatype, shape, bytes }: RecordTensor): z.infer<typeof TensorHeader> {
  return { name, datatype, shape: [...shape], parameters: { binary_data_size: bytes.byteLength } }
}

/** As far as the records are whole: a file may be cut off in its last one. */
export function wholeRecords(file: Uint8Array): { readonly bytes: number; readonly records: number } {
  let at = 0
  let records = 0
  for (;;) {
    const size = sizeAt(file, at)
    if (size === undefined || at + size > file.byteLength) return { bytes: at, records }
    at += size
    records += 1
  }
}

function sizeAt(file: Uint8Array, at: number): number | undefined {
  if (at + HEAD_BYTES > file.byteLength) return undefined
  if (!MAGIC.equals(file.subarray(at, at + MAGIC.byteLength))) return undefined
  const view = new DataView(file.buffer, file.byteOffset + at, HEAD_BYTES)
  const header = view.getUint32(4, true)
  return header > HEADER_BYTES_MAX ? undefined : HEAD_BYTES + header + view.getUint32(8, true)
}

/** Every whole record of a file; what is none is said. */
export function* decodeRecords(file: Uint8Array): Generator<CaptureRecord> {
  const { bytes } = wholeRecords(file)
  for (let at = 0; at < bytes; ) {
    const size = sizeAt(file, at) ?? 0
    yield decodeOne(file.subarray(at, at + size), at)
    at += size
  }
  if (bytes < file.byteLength && bytes === 0) {
    throw new EdgeError('input_invalid', 'Cannot read records: the file does not begin with one')
  }
}

function decodeOne(record: Uint8Array, at: number): CaptureRecord {
  const headerBytes = new DataView(record.buffer, record.byteOffset).getUint32(4, true)
  const parsed = RecordHeader.safeParse(parseJson(record.subarray(HEAD_BYTES, HEAD_BYTES + headerBytes)))
  if (!parsed.success) {
    throw new EdgeError(
      'input_invalid',
      `Cannot read the record at byte ${at}: ${z.prettifyError(parsed.error)}`,
    )
  }
  let from = HEAD_BYTES + headerBytes
  const take = ({ parameters, ...tensor }: z.infer<typeof TensorHeader>): RecordTensor => {
    const bytes = record.subarray(from, from + parameters.binary_data_size)
    from += parameters.binary_data_size
    if (bytes.byteLength === parameters.binary_data_size) return { ...tensor, bytes }
    throw new EdgeError('input_invalid', `Cannot read the record at byte ${at}: "${tensor.name}" is cut off`)
  }
  const { inputs, outputs, ...rest } = parsed.data
  return { ...rest, inputs: inputs.map(take), outputs: outputs.map(take) }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString()) as unknown
  } catch {
    return undefined
  }
}
