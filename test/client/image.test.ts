import { describe, expect, test } from 'bun:test'
import { decodeValues } from '../../src/client/datatypes.ts'
import { decodeImage, measureImage } from '../../src/client/image-file.ts'
import { placeImage } from '../../src/client/image-placement.ts'
import { createPart } from '../../src/client/parts.ts'
import type { TensorSpec } from '../../src/client/tensor.ts'
import { ClientHints } from '../../src/config/client-hints.ts'
import { asImage, buildPng } from './png-file.ts'

type Rows = Parameters<typeof buildPng>[0]

const ANY: TensorSpec = { name: 'x', datatype: 'FP32', shape: [-1, -1, -1, -1] }
const RED = [255, 0, 0]
const BLUE = [0, 0, 255]

function parseHint(keys: object) {
  const hint = ClientHints.parse({ inputs: { x: { from: 'image', ...keys } }, outputs: {} }).inputs['x']
  if (hint?.from !== 'image') throw new Error('not an image hint')
  return hint
}

/** The tensor that an image becomes. */
async function prepare(rows: Rows, keys: object, input: TensorSpec = ANY) {
  const file = asImage(buildPng(rows))
  const part = await createPart(input, parseHint(keys), { kind: 'image', file })
  if (part?.kind !== 'same') throw new Error('not one tensor')
  const { shape, datatype, bytes } = part.tensor
  return { shape, values: Array.from(decodeValues(datatype, bytes)) }
}

describe('an image becomes a tensor', () => {
  const rows = [[RED, BLUE]]

  test('channel by channel', async () => {
    expect(await prepare(rows, {})).toEqual({ shape: [1, 3, 1, 2], values: [1, 0, 0, 0, 0, 1] })
  })

  test('pixel by pixel', async () => {
    expect(await prepare(rows, { layout: 'nhwc' })).toEqual({
      shape: [1, 1, 2, 3],
      values: [1, 0, 0, 0, 0, 1],
    })
  })

  test('blue first', async () => {
    expect((await prepare([[RED]], { channels: 'bgr' })).values).toEqual([0, 0, 1])
  })

  test('gray', async () => {
    const { shape, values } = await prepare(rows, { channels: 'gray' })
    expect(shape).toEqual([1, 1, 1, 2])
    expect(values).toEqual([expect.closeTo(76 / 255), expect.closeTo(29 / 255)])
  })

  test('normalised by each channel’s mean and spread, in the order of the channels', async () => {
    const keys = { channels: 'bgr', mean: [0.5, 0, 0.25], std: [0.5, 1, 0.25] }
    expect((await prepare([[RED]], keys)).values).toEqual([-1, 0, 3])
  })

  test('of whole numbers, rounded', async () => {
    const input: TensorSpec = { ...ANY, datatype: 'UINT8' }
    const keys = { mean: [0], std: [1 / 255] }
    expect((await prepare([[[7, 128, 255]]], keys, input)).values).toEqual([7, 128, 255])
  })

  test('without a batch axis where the model has none', async () => {
    expect((await prepare(rows, {}, { ...ANY, shape: [3, -1, -1] })).shape).toEqual([3, 1, 2])
  })

  test('with what is transparent laid on white', async () => {
    expect((await prepare([[[0, 0, 0, 0]]], {})).values).toEqual([1, 1, 1])
    expect((await prepare([[[0, 0, 0, 51]]], {})).values).toEqual([0, 0, 0].map(() => expect.closeTo(0.8)))
  })

  test('stretched', async () => {
    const { shape, values } = await prepare(rows, { width: 4, height: 2, channels: 'gray' })
    expect(shape).toEqual([1, 1, 2, 4])
    const levels = values.map((value) => Math.round(Number(value) * 255))
    // A quarter of the way from one pixel's middle to the other's: bilinear.
    expect(levels).toEqual([76, 64, 41, 29, 76, 64, 41, 29])
  })

  test('with zeros to the right and below, whatever the mean is', async () => {
    const keys = { width: 3, height: 2, fit: 'pad', channels: 'gray', mean: [0.5], std: [0.5] }
    const white = [255, 255, 255]
    expect((await prepare([[white], [white]], keys)).values).toEqual([1, 0, 0, 1, 0, 0])
    expect((await prepare([[white, white, white]], keys)).values).toEqual([1, 1, 1, 0, 0, 0])
  })
})

describe('hints that do not fit are refused:', () => {
  test.each([
    [
      'another size',
      { width: 4 },
      { ...ANY, shape: [1, 3, 8, 8] },
      'the model takes [1, 3, 8, 8], the hints make',
    ],
    ['two means for three channels', { mean: [0, 0] }, ANY, 'the hint mean has 2 numbers'],
    ['a spread of zero', { std: [0] }, ANY, 'the hint std has a zero'],
    [
      'values that the datatype does not hold',
      {},
      { ...ANY, datatype: 'BOOL' },
      'wanted true, false, 0 or 1',
    ],
  ] as const)('%s', async (_name, keys, input, reason) => {
    await expect(prepare([[[7, 7, 7]]], keys, input)).rejects.toThrow(reason)
  })
})

describe('an image of 1000 x 500 pixels is placed', () => {
  const original = { width: 1000, height: 500 }

  test.each([
    ['reduced to the longest side allowed', {}, [960, 480], [960, 480]],
    ['as it is where that is allowed', { longest_side_max: 1000 }, [1000, 500], [1000, 500]],
    ['stretched to the nearest multiple', { multiple_of: 32, longest_side_max: 500 }, [512, 256], [512, 256]],
    [
      'padded to the next multiple',
      { multiple_of: 32, fit: 'pad', longest_side_max: 500 },
      [500, 250],
      [512, 256],
    ],
    ['by its height alone', { height: 48 }, [96, 48], [96, 48]],
    ['by its width alone, padded below', { width: 100, fit: 'pad', multiple_of: 32 }, [100, 50], [100, 64]],
    ['in a square', { width: 64, height: 64 }, [64, 64], [64, 64]],
    ['in the upper half of a square', { width: 64, height: 64, fit: 'pad' }, [64, 32], [64, 64]],
    ['grown to fill it', { width: 4000, height: 4000, fit: 'pad' }, [4000, 2000], [4000, 4000]],
  ])('%s', (_name, keys, content, canvas) => {
    const placement = placeImage(original, parseHint(keys))
    expect([placement.content.width, placement.content.height]).toEqual(content)
    expect([placement.canvas.width, placement.canvas.height]).toEqual(canvas)
  })
})

test('a line one pixel high does not shrink to nothing', () => {
  const { content, canvas } = placeImage({ width: 5000, height: 1 }, parseHint({ multiple_of: 32 }))
  expect({ content, canvas }).toEqual({ content: canvas, canvas: { width: 960, height: 32 } })
})

test('hints that would make too many pixels are refused', () => {
  expect(() => placeImage({ width: 9000, height: 1 }, parseHint({ height: 8192 }))).toThrow(
    'at most 67108864 pixels',
  )
})

describe('a file', () => {
  test('that is turned by its camera is measured and read as a person sees it', async () => {
    const jpeg = await new Bun.Image(buildPng([[RED, RED, BLUE, BLUE]])).jpeg({ quality: 100 }).bytes()
    // EXIF with one entry: orientation 6, a quarter turn to the right.
    const exif = Buffer.from(
      'ffe10022 457869660000 4d4d002a00000008 0001 0112000300000001 00060000 00000000'.replaceAll(' ', ''),
      'hex',
    )
    const file = asImage(new Uint8Array(Buffer.concat([jpeg.subarray(0, 2), exif, jpeg.subarray(2)])))
    expect(await measureImage(file)).toEqual({ width: 1, height: 4 })
    const { rgb } = await decodeImage(file, { width: 1, height: 4 })
    expect([rgb[0], rgb[11]]).toEqual([expect.closeTo(255, -1), expect.closeTo(255, -1)])
  })

  test('cut in the middle is refused', async () => {
    const file = asImage(buildPng([[RED, BLUE]]).slice(0, 50))
    await expect(decodeImage(file, { width: 1, height: 1 })).rejects.toThrow(
      'Cannot decode the image "photo.png"',
    )
  })

  test('that claims more pixels than are allowed is refused before any is made', async () => {
    const bytes = buildPng([[RED]])
    new DataView(bytes.buffer).setUint32(16, 60_000)
    new DataView(bytes.buffer).setUint32(20, 60_000)
    await expect(decodeImage(asImage(bytes), { width: 1, height: 1 })).rejects.toThrow('maxPixels')
  })
})
