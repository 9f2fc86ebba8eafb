/** Infer requests: good ones, and those with one to three things wrong. */
import type { Random } from '../kit/random.ts'
import { mutateTree, type Tree, writeTree } from './json-tree.ts'
import type { WireCase } from './wire-case.ts'
import { chooseShapes, FUZZ_MODELS, type FuzzModel, makeElements } from './zoo.ts'

/** What shared memory the server was given, by the names it knows it under. */
export const REGION = { name: 'fuzz-region', bytes: 4_096 } as const

interface Parts {
  readonly tree: Record<string, Tree>
  readonly binary: Uint8Array
  /** Everything that goes back does so in binary. */
  readonly isBinary: boolean
}

export function inferCase(random: Random): WireCase {
  const model = random.pick(FUZZ_MODELS)
  if (random.chance(0.06)) return rawCase(random, model)
  const parts = describeRequest(random, model)
  const isGood = random.chance(0.3)
  let tree: Tree = parts.tree
  if (!isGood) for (let times = random.between(0, 3); times > 0; times -= 1) tree = mutateTree(random, tree)
  const json = Buffer.from(writeTree(tree))
  const hasHeader = parts.binary.length > 0 || random.chance(0.2)
  const isEcho = isGood && model.isEcho && parts.isBinary && parts.tree['outputs'] === undefined
  return {
    kind: isGood ? 'infer' : 'infer, changed',
    method: 'POST',
    path: inferPath(random, model.name, isGood),
    headers: random.chance(0.2)
      ? [['Accept-Encoding', random.pick(['gzip', 'deflate', 'gzip;q=0', '*', ';;q=,'])]]
      : [],
    json: isGood ? json : mutateBytes(random, json, 0.15),
    binary: isGood ? parts.binary : mutateBytes(random, parts.binary, 0.15),
    headerLength: !hasHeader ? undefined : isGood || random.chance(0.85) ? 'true' : random.pick(LENGTHS),
    encoding: 'none',
    framing: 'length',
    salt: random.below(2 ** 31),
    isGood,
    isEcho,
  }
}

const LENGTHS = ['0', '1', '-1', '', 'x', '99999999999', '10', '1e1', '0x5', '5 ', ' 5', '4294967297', '1,1']

function inferPath(random: Random, model: string, isGood: boolean): string {
  const version = random.chance(0.3) ? '/versions/1' : ''
  if (isGood || random.chance(0.9)) return `/v2/models/${model}${version}/infer`
  const name = random.pick([
    model,
    '%00',
    '%',
    '%2e%2e',
    '..',
    'a'.repeat(300),
    '%F0%9F%90%9A',
    '%ff',
    'no-such',
  ])
  const of = random.pick([
    '',
    '/versions/2',
    '/versions/',
    '/versions/%31',
    '/versions/1/versions/1',
    '/versions/-1',
  ])
  return `/v2/models/${name}${of}/infer${random.pick(['', '/', '?', '?a=b', '#', '//'])}`
}

/** The whole body is the data of the only input. */
function rawCase(random: Random, model: FuzzModel): WireCase {
  const [input] = model.inputs
  const [shape = []] = chooseShapes(random, model)
  const elements = makeElements(random, {
    datatype: input?.datatype ?? 'FP32',
    shape,
    valueMax: model.valueMax,
  })
  return {
    kind: 'infer, raw',
    method: 'POST',
    path: `/v2/models/${model.name}/infer`,
    headers: [],
    json: new Uint8Array(0),
    binary: mutateBytes(random, elements.bytes, 0.3),
    headerLength: '0',
    encoding: 'none',
    framing: 'length',
    salt: random.below(2 ** 31),
    isGood: false,
    isEcho: false,
  }
}

function describeRequest(random: Random, model: FuzzModel): Parts {
  const isBinary = !hasJsonForm(model) || random.chance(0.5)
  const blobs: Uint8Array[] = []
  const shapes = chooseShapes(random, model)
  const inputs = model.inputs.map(({ name, datatype }, index) => {
    const shape = shapes[index] ?? []
    const { bytes, data } = makeElements(random, { datatype, shape, valueMax: model.valueMax })
    const input = { name, datatype, shape }
    if (data !== undefined && (!isBinary || random.chance(0.2)) && !model.isEcho) return { ...input, data }
    if (data !== undefined && !isBinary) return { ...input, data: nest(random, data, shape) }
    blobs.push(bytes)
    return { ...input, parameters: { binary_data_size: bytes.length } }
  })
  const parameters = {
    ...(isBinary ? { binary_data_output: true } : {}),
    ...(random.chance(0.1) ? { priority: random.between(0, 4) } : {}),
    ...(random.chance(0.1) ? { timeout: 60_000_000 } : {}),
    ...(random.chance(0.1) ? { my_own: 'word', another: 1 } : {}),
    ...(model.hasSequences === true ? sequenceOf(random) : {}),
  }
  return {
    tree: {
      ...(random.chance(0.3) ? { id: random.pick(['7', 'é', 'x'.repeat(100)]) } : {}),
      inputs,
      ...(Object.keys(parameters).length > 0 ? { parameters } : {}),
      ...(random.chance(0.3) ? { outputs: describeOutputs(random, model) } : {}),
    },
    binary: Buffer.concat(blobs),
    isBinary,
  }
}

/** A start is right whatever has become of the sequence; the changed requests bring those that are not. */
function sequenceOf(random: Random): Record<string, Tree> {
  return {
    sequence_id: random.pick([1, 2, 3, 'a', 'b', 2 ** 40]),
    sequence_start: true,
    sequence_end: random.chance(0.5),
  }
}

/** Nested as its shape says, or flat: both are allowed. */
function nest(random: Random, data: unknown[], shape: readonly number[]): unknown[] {
  if (shape.length < 2 || random.chance(0.5)) return data
  const [, ...rest] = shape
  const size = rest.reduce((product, dimension) => product * dimension, 1)
  return Array.from({ length: shape[0] ?? 0 }, (_, row) => data.slice(row * size, (row + 1) * size))
}

function describeOutputs(random: Random, model: FuzzModel): Tree[] {
  const isText = model.inputs.some(({ datatype }) => datatype === 'BYTES')
  return model.outputs.map((name) => {
    if (!hasJsonForm(model)) return { name, parameters: { binary_data: true } }
    if (!isText && random.chance(0.2)) return { name, parameters: { classification: random.between(0, 5) } }
    return { name, parameters: { binary_data: random.chance(0.5) } }
  })
}

function hasJsonForm({ inputs }: FuzzModel): boolean {
  return inputs.every(({ datatype }) => !datatype.startsWith('FP8') && datatype !== 'UINT4')
}

/** What only those parameters reach that no good request has: sequences, shared memory, words that are reserved. */
export function oddParametersCase(random: Random): WireCase {
  const good = inferCase(random)
  const model = random.pick(FUZZ_MODELS)
  const { tree, binary } = describeRequest(random, model)
  const [first] = tree['inputs'] as Record<string, Tree>[]
  const shared = {
    shared_memory_region: random.pick([REGION.name, 'no-such', '', 7]),
    shared_memory_byte_size: random.pick([0, 4, 16, REGION.bytes, REGION.bytes + 1, -1, 2 ** 53]),
    shared_memory_offset: random.pick([0, 1, 4_000, REGION.bytes, 2 ** 53, -1, 'x']),
  }
  if (first !== undefined && random.chance(0.4)) {
    first['parameters'] = random.chance(0.7) ? shared : { ...shared, binary_data_size: 4 }
    delete first['data']
  }
  if (random.chance(0.3)) tree['outputs'] = model.outputs.map((name) => ({ name, parameters: shared }))
  if (random.chance(0.5)) {
    tree['parameters'] = {
      sequence_id: random.pick([0, 1, 2, 7, -1, 1.5, 2 ** 53, 2 ** 70, '', 'a', 'x'.repeat(200), true, null]),
      sequence_start: random.pick([true, false, 1, 'true', null]),
      sequence_end: random.pick([true, false, 0]),
      priority: random.pick([0, 1, 99, -1, 1.5, 2 ** 53]),
      timeout: random.pick([0, 1, 1_000_000, -1, 2 ** 53, '1']),
      [random.pick(['triton_enable_empty_final_response', 'headers', '__proto__', 'max_tokens'])]: true,
    }
  }
  return {
    ...good,
    kind: 'infer, odd parameters',
    path: `/v2/models/${model.name}/infer`,
    json: Buffer.from(writeTree(tree)),
    binary,
    headerLength: 'true',
    isGood: false,
    isEcho: false,
  }
}

/** Now and then something about the bytes themselves. */
export function mutateBytes(random: Random, bytes: Uint8Array, probability: number): Uint8Array {
  if (bytes.length === 0 || !random.chance(probability)) return bytes
  const at = random.below(bytes.length)
  const copy = Buffer.from(bytes)
  switch (random.below(5)) {
    case 0:
      copy[at] = random.below(256)
      return copy
    case 1:
      return copy.subarray(0, at)
    case 2:
      return Buffer.concat([copy.subarray(0, at), random.bytes(random.between(1, 9)), copy.subarray(at)])
    case 3:
      return Buffer.concat([
        copy.subarray(0, at),
        copy.subarray(Math.min(bytes.length, at + random.between(1, 40))),
      ])
    default:
      return Buffer.concat([copy, copy.subarray(at)])
  }
}
