/** The models that the fuzzer asks, and what a good request to each of them looks like. */
import { byteLength, type Datatype, elementCount } from '../../src/runtime/datatypes.ts'
import * as zoo from '../kit/model-zoo.ts'
import type { Random } from '../kit/random.ts'

interface FuzzInput {
  readonly name: string
  readonly datatype: Datatype
  /** A name stands for any size, the same wherever it stands. */
  readonly shape: readonly (number | string)[]
}

export interface FuzzModel {
  readonly name: string
  readonly onnx: () => Uint8Array
  readonly config?: string
  readonly inputs: readonly FuzzInput[]
  readonly outputs: readonly string[]
  /** Its outputs are its inputs, in their order. */
  readonly isEcho: boolean
  /** What elements have to stay below for the run to succeed. */
  readonly valueMax?: number
  /** A request has to say which sequence it belongs to. */
  readonly hasSequences?: boolean
}

const IDENTITIES: readonly (readonly [Datatype, zoo.ElementType])[] = [
  ['FP32', 'FLOAT'],
  ['UINT8', 'UINT8'],
  ['INT8', 'INT8'],
  ['UINT16', 'UINT16'],
  ['INT16', 'INT16'],
  ['INT32', 'INT32'],
  ['INT64', 'INT64'],
  ['BYTES', 'STRING'],
  ['BOOL', 'BOOL'],
  ['FP16', 'FLOAT16'],
  ['FP64', 'DOUBLE'],
  ['UINT32', 'UINT32'],
  ['UINT64', 'UINT64'],
  ['BF16', 'BFLOAT16'],
  ['FP8E4M3FN', 'FLOAT8E4M3FN'],
  ['UINT4', 'UINT4'],
]

const echo = (name: string, of: { datatype: Datatype; shape: zoo.Shape; onnx: FuzzModel['onnx'] }) => ({
  name,
  onnx: of.onnx,
  inputs: [{ name: 'INPUT0', datatype: of.datatype, shape: of.shape }],
  outputs: ['OUTPUT0'],
  isEcho: true,
})

export const FUZZ_MODELS: readonly FuzzModel[] = [
  ...IDENTITIES.map(([datatype, type]) =>
    echo(`of-${datatype.toLowerCase()}`, { datatype, shape: ['n'], onnx: () => zoo.identity(type) }),
  ),
  echo('scalar', { datatype: 'INT64', shape: [], onnx: () => zoo.identity('INT64', []) }),
  echo('two-open', { datatype: 'FP32', shape: ['n', 'm'], onnx: () => zoo.identity('FLOAT', ['n', 'm']) }),
  {
    ...echo('batched', {
      datatype: 'FP32',
      shape: ['batch', 4],
      onnx: () => zoo.identity('FLOAT', ['batch', 4]),
    }),
    config:
      'max_batch_size = 8\n[batching]\npreferred_batch_sizes = [4]\nqueue_delay_us_max = 500\n' +
      'priority_levels = 3\ndefault_priority_level = 2\n',
  },
  {
    ...echo('batched-texts', {
      datatype: 'BYTES',
      shape: ['batch', 2],
      onnx: () => zoo.identity('STRING', ['batch', 2]),
    }),
    config: 'max_batch_size = 8\n[batching]\nqueue_delay_us_max = 500\npreserve_ordering = true\n',
  },
  {
    name: 'in-sequences',
    onnx: zoo.recorder,
    // Those that are never ended give back their place soon.
    config:
      'max_batch_size = 8\n[sequences]\nidle_us_max = 20000\nstate_bytes_max = 256\n' +
      'states = [{ input = "STATE", output = "NEXT" }]\n',
    inputs: [{ name: 'INPUT0', datatype: 'INT32', shape: [1, 1] }],
    outputs: ['OUTPUT0'],
    isEcho: false,
    hasSequences: true,
  },
  {
    name: 'simple',
    onnx: zoo.simple,
    inputs: ['INPUT0', 'INPUT1'].map((name) => ({ name, datatype: 'INT32', shape: ['batch', 16] })),
    outputs: ['OUTPUT0', 'OUTPUT1'],
    isEcho: false,
  },
  {
    name: 'divide',
    onnx: zoo.divide,
    inputs: ['INPUT0', 'INPUT1'].map((name) => ({ name, datatype: 'FP32', shape: ['n'] })),
    outputs: ['OUTPUT0'],
    isEcho: false,
  },
  {
    name: 'fails-on-index',
    onnx: zoo.failsOnIndex,
    inputs: [{ name: 'INPUT0', datatype: 'INT64', shape: ['n'] }],
    outputs: ['OUTPUT0'],
    isEcho: false,
    valueMax: 3,
  },
  {
    name: 'optional-input',
    onnx: zoo.optionalInput,
    inputs: [
      { name: 'INPUT0', datatype: 'FP32', shape: ['n'] },
      { name: 'BIAS', datatype: 'FP32', shape: [1] },
    ],
    outputs: ['OUTPUT0'],
    isEcho: false,
  },
  {
    name: 'map-output',
    onnx: zoo.mapOutput,
    inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: ['batch', 3] }],
    outputs: ['OUTPUT0'],
    isEcho: false,
  },
  {
    name: 'mixed',
    onnx: zoo.mixed,
    inputs: [
      { name: 'INPUT0', datatype: 'FP32', shape: ['batch', 3] },
      { name: 'INPUT1', datatype: 'INT64', shape: [2] },
      { name: 'INPUT2', datatype: 'BYTES', shape: ['batch', 'words'] },
      { name: 'INPUT3', datatype: 'BOOL', shape: ['flags'] },
      { name: 'INPUT4', datatype: 'UINT8', shape: [1, 'height', 'width'] },
      { name: 'INPUT5', datatype: 'FP64', shape: [] },
    ],
    outputs: [0, 1, 2, 3, 4, 5].map((index) => `OUTPUT${index}`),
    isEcho: true,
  },
]

/** Sizes for the open dimensions of one request; now and then a tensor of some kilobytes. */
export function chooseShapes(random: Random, model: FuzzModel): number[][] {
  const sizes = new Map<string, number>()
  let isLarge = random.chance(0.05)
  const sizeOf = (symbol: string) => {
    const most = symbol === 'batch' ? 8 : isLarge ? 3_000 : 12
    const size = sizes.get(symbol) ?? random.between(1, most)
    sizes.set(symbol, size)
    // One of them: the product of two would be more than a body may hold.
    if (symbol !== 'batch') isLarge = false
    return size
  }
  return model.inputs.map(({ shape }) =>
    shape.map((dimension) => (typeof dimension === 'number' ? dimension : sizeOf(dimension))),
  )
}

/** Elements that a datatype takes, in both forms that they travel in. */
export function makeElements(
  random: Random,
  input: { datatype: Datatype; shape: readonly number[]; valueMax: number | undefined },
): { bytes: Uint8Array; data: unknown[] | undefined } {
  const { datatype } = input
  const elements = elementCount(input.shape)
  const list = <T>(make: () => T) => Array.from({ length: elements }, make)
  if (datatype === 'BYTES') {
    const texts = list(() =>
      random.pick(['', 'a', 'é', 'shell', '\u{1f41a}', '"\\\n', 'x'.repeat(random.below(60))]),
    )
    return { bytes: encodeStrings(texts), data: texts }
  }
  if (datatype === 'BOOL') {
    const data = list(() => random.chance(0.5))
    return { bytes: Uint8Array.from(data, Number), data }
  }
  if (datatype === 'INT64' || datatype === 'UINT64') {
    const top = input.valueMax ?? (datatype === 'INT64' ? 2 ** 62 : 2 ** 63)
    const data = list(() =>
      BigInt(Math.floor(random.next() * (random.chance(0.5) ? Math.min(top, 100) : top))),
    )
    return { bytes: new Uint8Array(BigInt64Array.from(data).buffer), data }
  }
  const Kind = KINDS[datatype]
  // Neither form of JSON nor typed array: any bytes will do, but four-bit types fill their last byte with zeros.
  if (Kind === undefined) {
    const bytes = random.bytes(byteLength(datatype, elements))
    if (elements % 2 === 1 && datatype === 'UINT4') bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) & 15
    return { bytes, data: undefined }
  }
  const isFloat = datatype.startsWith('FP')
  const values = Kind.from(list(() => (isFloat ? (random.next() - 0.5) * 100 : random.below(100))))
  return { bytes: new Uint8Array(values.buffer), data: [...values] }
}

type Kind = { from(list: number[]): { buffer: ArrayBuffer; [Symbol.iterator](): Iterator<number> } }

const KINDS: Partial<Record<Datatype, Kind>> = {
  FP16: Float16Array,
  FP32: Float32Array,
  FP64: Float64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
} as never

function encodeStrings(texts: readonly string[]): Uint8Array {
  return Buffer.concat(
    texts.flatMap((text) => {
      const bytes = Buffer.from(text)
      const length = Buffer.alloc(4)
      length.writeUInt32LE(bytes.length)
      return [length, bytes]
    }),
  )
}
