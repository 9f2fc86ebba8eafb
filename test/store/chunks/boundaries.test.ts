/** Where the tensors of an ONNX file lie, found without decoding it. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { onnx } from 'onnx-proto'
import { EdgeError } from '../../../src/kit/errors.ts'
import { findBoundaries } from '../../../src/store/chunks/boundaries.ts'
import { chunkBytes, sha256Of } from '../../../src/store/chunks/chunk-file.ts'
import { findTensors } from '../../../src/store/chunks/onnx-tensors.ts'
import type { ByteSource } from '../../../src/store/chunks/proto-reader.ts'
import { createFolder, MODELS } from '../../kit/binary.ts'
import { randomBytes } from '../../kit/random-bytes.ts'
import { SEED } from '../../kit/seed.ts'

const folder = await createFolder()
afterAll(folder.remove)

function memory(bytes: Uint8Array): ByteSource {
  return { bytes: bytes.length, read: (into, at) => Buffer.from(bytes).copy(into, 0, at) }
}

const encode = (model: onnx.IModelProto) => onnx.ModelProto.encode(onnx.ModelProto.create(model)).finish()
const raw = (name: string, bytes: Uint8Array): onnx.ITensorProto => ({
  name,
  dataType: 1,
  dims: [bytes.length / 4],
  rawData: bytes,
})
const attribute = (added: onnx.IAttributeProto): onnx.INodeProto => ({
  opType: 'Constant',
  output: ['x'],
  attribute: [{ name: 'value', ...added }],
})

/** What lies at each of the found places. */
function foundIn(model: Uint8Array): Buffer[] {
  return findTensors(memory(model)).inside.map(({ at, bytes }) => Buffer.from(model.subarray(at, at + bytes)))
}

describe('tensors are found', () => {
  const big = (seed: number) => randomBytes(8_192 + seed * 4, seed)

  test('wherever a model can have one, in the order of the file', () => {
    const inner: onnx.IGraphProto = { initializer: [raw('inner', big(3))] }
    const model = encode({
      irVersion: 8,
      graph: {
        node: [
          attribute({ t: raw('constant', big(1)) }),
          attribute({ tensors: [raw('first', big(2))] }),
          attribute({ g: inner }),
          attribute({ sparseTensor: { values: raw('values', big(4)), indices: raw('indices', big(5)) } }),
        ],
        initializer: [raw('small', big(6).subarray(0, 8_188)), raw('weights', big(7))],
        sparseInitializer: [{ values: raw('sparse', big(8)) }],
      },
      functions: [{ name: 'f', node: [attribute({ t: raw('in a function', big(9)) })] }],
    })
    expect(foundIn(model)).toEqual([1, 2, 3, 4, 5, 7, 8, 9].map((seed) => Buffer.from(big(seed))))
  })

  test('also where the numbers are not raw', () => {
    const floats = Array.from({ length: 3_000 }, (_, index) => index / 7)
    const [found] = foundIn(encode({ graph: { initializer: [{ name: 'w', floatData: floats }] } }))
    expect(found).toEqual(Buffer.from(Float32Array.from(floats).buffer))
  })

  test('all those of 8 KiB and more, of any sizes and names', () => {
    const tensors = fc.array(fc.tuple(fc.string({ maxLength: 30 }), fc.integer({ min: 0, max: 30_000 })), {
      maxLength: 12,
    })
    fc.assert(
      fc.property(tensors, (list) => {
        const initializer = list.map(([name, bytes], seed) => raw(name, randomBytes(bytes, seed)))
        const expected = initializer
          .map(({ rawData }) => Buffer.from(rawData ?? []))
          .filter((b) => b.length >= 8_192)
        expect(foundIn(encode({ graph: { initializer } }))).toEqual(expected)
      }),
      { seed: SEED, numRuns: 100 },
    )
  })
})

describe('what is no model', () => {
  test.each([
    ['nothing at all', new Uint8Array(0), 'it has no graph'],
    ['text', Buffer.from('not a model'), 'there is'],
    [
      'a group, which protobuf has given up',
      Uint8Array.of(0x3b),
      'at byte 0 there is a field of the wire type 3',
    ],
    [
      'a field that is longer than the file',
      Uint8Array.of(0x3a, 0x7f, 0),
      'a field of 127 bytes where 1 are left',
    ],
    ['a number without an end', new Uint8Array(20).fill(0xff), 'a number of more than 10 bytes'],
    ['a length beyond all files', Uint8Array.of(0x3a, ...Array(9).fill(0xff), 1), 'a field of'],
    [
      'graphs in graphs without end',
      Array.from({ length: 100 }).reduce<onnx.IGraphProto>((g) => ({ node: [attribute({ g })] }), {}),
      'it is more than 64 deep',
    ],
  ])('%s is refused with words', (_, given, words) => {
    const bytes = given instanceof Uint8Array ? given : encode({ graph: given })
    expect(() => findTensors(memory(bytes))).toThrow(EdgeError)
    expect(() => findTensors(memory(bytes))).toThrow(words)
  })

  test('any bytes are refused, or the places found lie within them', async () => {
    const real = await Bun.file(join(MODELS, 'text-orientation/1/model.onnx')).bytes()
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc
        .tuple(fc.nat(real.length), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 10 }))
        .map(([length, changes]) => {
          const bad = Buffer.from(real.subarray(0, length))
          for (const [at, value] of changes) if (length > 0) bad[at % length] = value
          return bad
        }),
    )
    fc.assert(
      fc.property(bytes, (given) => {
        try {
          for (const { at, bytes: length } of findTensors(memory(given)).inside) {
            expect(at + length).toBeLessThanOrEqual(given.length)
          }
        } catch (error) {
          expect(error).toBeInstanceOf(EdgeError)
        }
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})

describe('boundaries', () => {
  const outside = (name: string, entries: Record<string, string>): onnx.ITensorProto => ({
    name,
    dataLocation: 1,
    externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
  })

  async function boundariesOf(files: Record<string, Uint8Array>) {
    const home = join(folder.path, crypto.randomUUID())
    await mkdir(home)
    for (const [path, bytes] of Object.entries(files)) await Bun.write(join(home, path), bytes)
    return Object.fromEntries(findBoundaries(home, Object.keys(files)))
  }

  test('are at the ends of tensors, in the model and in the file beside it', async () => {
    const model = encode({
      graph: {
        initializer: [
          outside('one', { location: 'weights.bin', offset: '0', length: '9000' }),
          outside('two', { location: 'weights.bin', offset: '12288', length: '20000' }),
          outside('rest', { location: 'weights.bin', offset: '40000' }),
          outside('small', { location: 'weights.bin', offset: '9000', length: '8' }),
          outside('nonsense', { location: 'weights.bin', offset: 'x', length: '20000' }),
          outside('away', { location: '../../weights.bin', offset: '5', length: '20000' }),
        ],
      },
    })
    const found = await boundariesOf({
      '1/model.onnx': model,
      '1/weights.bin': new Uint8Array(50_000),
      'config.toml': Buffer.from('max_batch_size = 8'),
    })
    expect(found).toEqual({
      '1/model.onnx': { at: [], by: 'tensors', problem: undefined },
      '1/weights.bin': { at: [9_000, 12_288, 32_288, 40_000, 48_192], by: 'tensors', problem: undefined },
      'config.toml': { at: [], by: 'content', problem: undefined },
    })
  })

  test('of a model that cannot be read are left to the content, and it is said why', async () => {
    const found = await boundariesOf({ 'model.onnx': Buffer.from('not a model') })
    expect(found['model.onnx']).toMatchObject({ at: [], by: 'content' })
    expect(found['model.onnx']?.problem).toStartWith('Cannot read ')
  })

  test('lie close together between the tensors, and in them only at their ends', async () => {
    const random = (seed: number) => randomBytes(20_000, seed)
    const nodes = Array.from({ length: 100 }, (_, seed) =>
      attribute({ t: raw('small', random(seed).subarray(0, 4_000)) }),
    )
    const initializer = [raw('one', random(1)), raw('two', random(2))]
    const model = encode({ graph: { node: nodes, initializer } })
    const at = (await boundariesOf({ 'model.onnx': model }))['model.onnx']?.at ?? []
    const tensors = findTensors(memory(model)).inside
    const graphEnd = tensors[0]?.at ?? 0
    const pieces = at.map((place, index) => ({ place, length: place - (at[index - 1] ?? 0) }))
    const inGraph = pieces.filter(({ place }) => place < graphEnd)
    expect(inGraph.length).toBeGreaterThan(50)
    for (const { length } of inGraph) expect(length).toBeWithin(2_048, 8 * 1024 + 1)
    for (const { at: begin, bytes } of tensors) {
      expect(at.filter((place) => place >= begin && place <= begin + bytes)).toEqual([begin, begin + bytes])
    }
  })

  test('of a graph that one node is added to stay where they were, but for those around it', async () => {
    const node = (seed: number) => attribute({ t: raw(`small ${seed}`, randomBytes(3_000, seed)) })
    const nodes = Array.from({ length: 100 }, (_, seed) => node(seed))
    const changed = [...nodes.slice(0, 50), node(1_000), ...nodes.slice(50)]
    const [before, after] = await Promise.all(
      [nodes, changed].map(async (list) => {
        const model = encode({ graph: { node: list } })
        const at = (await boundariesOf({ 'model.onnx': model }))['model.onnx']?.at ?? []
        return [...chunkBytes(model, at)].map((chunk) => sha256Of(chunk.bytes))
      }),
    )
    // The message's length stands at its beginning: the first piece is another one too.
    const unknown = after?.filter((sha256) => !before?.includes(sha256)) ?? []
    expect(unknown.length).toBeWithin(1, 6)
    expect(after?.length).toBeGreaterThan(40)
  })

  test('of a stretch too long for a graph are left to the content', async () => {
    const tensors = Array.from({ length: 1_400 }, (_, seed) => raw('small', randomBytes(4_000, seed)))
    const found = await boundariesOf({ 'model.onnx': encode({ graph: { initializer: tensors } }) })
    expect(found['model.onnx']).toEqual({ at: [], by: 'tensors', problem: undefined })
  })

  test('of the sample models are those of their tensors, and are part of the format', () => {
    const path = 'text-orientation/1/model.onnx'
    const found = findBoundaries(MODELS, [path]).get(path)
    expect(found).toMatchObject({ by: 'tensors', problem: undefined })
    expect(sha256Of(Buffer.from(JSON.stringify(found?.at)))).toBe(
      '2411b2ac6789cdc7964702755cc4ef06c431bd3d2f71dff0fd2a4e55ef971ed6',
    )
  })
})
