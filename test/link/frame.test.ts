/** Frames, bitmaps and parts: what goes in comes out, and whatever else comes is refused in words. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { EdgeError } from '../../src/kit/errors.ts'
import { decodeBitmap, encodeBitmap } from '../../src/link/bitmap.ts'
import { cutFrames, decodeFrame, encodeFrame, FRAME_HEADER_BYTES } from '../../src/link/frame.ts'
import { DeviceEvent, decodeMessage, Request, WANT_BITS_MAX } from '../../src/link/messages.ts'
import { Parts } from '../../src/link/parts.ts'
import { randomBytes } from '../kit/random-bytes.ts'
import { SEED } from '../kit/seed.ts'

const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const frame = fc
  .record({
    kind: fc.constantFrom('piece' as const, 'missing' as const, 'end' as const, 'ack' as const),
    isZstd: fc.boolean(),
    request: uint32,
    item: uint32,
    parts: fc.integer({ min: 1, max: 1024 }),
    bytes: fc.uint8Array({ maxLength: 300 }),
  })
  .chain((fields) => fc.integer({ min: 0, max: fields.parts - 1 }).map((part) => ({ ...fields, part })))

describe('a frame', () => {
  test('comes back as it was', () => {
    fc.assert(
      fc.property(frame, (one) => {
        expect(decodeFrame(encodeFrame(one))).toEqual(one)
      }),
      { seed: SEED, numRuns: 500 },
    )
  })

  test('of any bytes is read or refused, never more', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          const read = decodeFrame(bytes)
          expect(read.part).toBeLessThan(read.parts)
          expect(encodeFrame(read)).toEqual(Uint8Array.from(bytes))
        } catch (error) {
          expect(error).toBeInstanceOf(EdgeError)
          expect((error as EdgeError).code).toBe('input_invalid')
        }
      }),
      { seed: SEED, numRuns: 2_000 },
    )
  })

  const good = () =>
    encodeFrame({
      kind: 'piece',
      isZstd: false,
      request: 1,
      item: 2,
      part: 0,
      parts: 1,
      bytes: new Uint8Array(3),
    })
  test.each<[string, (bytes: Uint8Array) => Uint8Array, string]>([
    [
      'too short by one byte',
      (bytes) => bytes.subarray(0, FRAME_HEADER_BYTES - 1),
      '13 bytes, expected at least 14',
    ],
    ['of another format', (bytes) => bytes.with(0, 2), 'format 2, expected 1'],
    ['with a flag that nobody knows', (bytes) => bytes.with(1, 8), 'flags 8'],
    ['that is a part past the last', (bytes) => bytes.with(11, 1), 'part 1 of 1'],
    ['in no parts', (bytes) => bytes.with(13, 0), 'part 0 of 0'],
    ['in too many parts', (bytes) => bytes.with(12, 5), 'at most 1024'],
  ])('%s is refused', (_, spoil, words) => {
    expect(() => decodeFrame(spoil(good()))).toThrow(words)
  })
})

describe('parts', () => {
  const parse = (bytes: Uint8Array, frameBytes: number) => [
    ...cutFrames({ request: 1, item: 2, isZstd: true, bytes }, frameBytes),
  ]

  test('in any order, some of them twice, make the item', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 5_000 }),
        fc.integer({ min: FRAME_HEADER_BYTES + 64, max: 1_000 }),
        fc.infiniteStream(fc.nat()),
        (length, frameBytes, draws) => {
          const bytes = randomBytes(length, SEED + length)
          const frames = parse(bytes, frameBytes)
          const shuffled = [...frames, ...frames.filter((_, index) => index % 3 === 0)]
            .map((one) => ({ one, key: Number(draws.next().value) }))
            .sort((one, other) => one.key - other.key)
            .map(({ one }) => one)
          const [first] = shuffled
          if (first === undefined) throw new Error('An item has at least one frame')
          const parts = new Parts(first, { bytesMax: length, frameBytes })
          const news = shuffled.map((one) => parts.add(one))
          expect(news.filter(Boolean)).toHaveLength(frames.length)
          expect(parts.isWhole).toBe(true)
          expect(Buffer.compare(parts.join(), bytes)).toBe(0)
        },
      ),
      { seed: SEED, numRuns: 300 },
    )
  })

  test('take no more than was said, whatever they say of themselves', () => {
    const [first] = parse(new Uint8Array(1_000), 114)
    if (first === undefined) throw new Error('There is a frame')
    expect(() => new Parts({ parts: 1024 }, { bytesMax: 1_000, frameBytes: 114 })).toThrow(
      'more than 1000 bytes',
    )
    const parts = new Parts(first, { bytesMax: 1_000, frameBytes: 114 })
    parts.add(first)
    expect(() => parts.add({ ...first, part: 1, bytes: new Uint8Array(901) })).toThrow('more than 1000 bytes')
  })

  test('of another cut are let go', () => {
    const [first] = parse(new Uint8Array(1_000), 114)
    if (first === undefined) throw new Error('There is a frame')
    const parts = new Parts(first, { bytesMax: 1_000, frameBytes: 114 })
    expect(parts.add({ ...first, parts: 9 })).toBe(false)
    expect(parts.missing).toHaveLength(first.parts)
  })
})

describe('a bitmap', () => {
  test('gives back the numbers, as far as they fit', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(40_000), { minLength: 1, maxLength: 200 }), (some) => {
        const numbers = some.sort((one, other) => one - other)
        const bitmap = encodeBitmap(numbers)
        const fitting = numbers.filter((number) => number - (numbers[0] ?? 0) < WANT_BITS_MAX)
        expect([...decodeBitmap(bitmap)]).toEqual(fitting)
        expect(bitmap.want.length).toBeLessThanOrEqual(WANT_BITS_MAX / 4)
      }),
      { seed: SEED, numRuns: 300 },
    )
  })

  test('of nothing asks for nothing', () => {
    expect([...decodeBitmap(encodeBitmap([]))]).toEqual([])
  })
})

describe('a message', () => {
  test('of any JSON is read or refused in words', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        try {
          decodeMessage(Request, Buffer.from(JSON.stringify(value)))
        } catch (error) {
          expect((error as EdgeError).code).toBe('input_invalid')
        }
      }),
      { seed: SEED, numRuns: 500 },
    )
  })

  test.each([
    ['no JSON', 'no', 'as JSON'],
    ['a bitmap that is none', '{"op":"chunks","want":"xyz"}', 'want'],
    ['a name that leads out', '{"op":"meta","name":"../keys"}', 'name'],
    ['a question that nobody knows', '{"op":"reboot"}', 'op'],
    ['too long', JSON.stringify({ op: 'sync', x: 'x'.repeat(300_000) }), 'at most 262144'],
  ])('with %s is refused', (_, text, words) => {
    expect(() => decodeMessage(Request, Buffer.from(text))).toThrow(words)
  })

  test('keeps what a device says beyond what the registry knows', () => {
    const event = { sid: 'a', seq: 1, to: 'verifying', new_field: [1] }
    expect(decodeMessage(DeviceEvent, Buffer.from(JSON.stringify(event)))).toEqual(event)
  })
})
