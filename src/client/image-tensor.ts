import type { ImageHint } from '../config/client-hints.ts'
import { EdgeError } from '../kit/errors.ts'
import { isWholeNumber } from './datatypes.ts'
import { explainShape } from './hint-advice.ts'
import type { Pixels } from './image-file.ts'
import type { Size } from './image-placement.ts'
import { allowsShape, createTensor, type Tensor, type TensorSpec } from './tensor.ts'

/** The pixels as the model's input, in the upper left corner of the canvas; the rest of it is zero. */
export function createImageTensor(input: TensorSpec, hint: ImageHint, pixels: Pixels, canvas: Size): Tensor {
  const channels = CHANNELS[hint.channels]
  const shape = chooseShape(input, hint, { ...canvas, channels: channels.length })
  const values = new Float32Array(canvas.width * canvas.height * channels.length)
  const isPlanar = hint.layout === 'nchw'
  const channelStride = isPlanar ? canvas.width * canvas.height : 1
  const pixelStride = isPlanar ? 1 : channels.length
  for (const [index, pick] of channels.entries()) {
    const levels = tabulateLevels(hint, index, isWholeNumber(input.datatype))
    for (let y = 0; y < pixels.height; y += 1) {
      let from = y * pixels.width * 3
      let to = index * channelStride + y * canvas.width * pixelStride
      for (let x = 0; x < pixels.width; x += 1, from += 3, to += pixelStride) {
        values[to] = levels[pick(pixels.rgb, from)] ?? 0
      }
    }
  }
  return createTensor(input, shape, values)
}

/** One channel's level, 0 to 255, of the pixel that starts at `offset`. */
type Channel = (rgb: Uint8Array, offset: number) => number

const red: Channel = (rgb, offset) => rgb[offset] ?? 0
const green: Channel = (rgb, offset) => rgb[offset + 1] ?? 0
const blue: Channel = (rgb, offset) => rgb[offset + 2] ?? 0
/** The weights of ITU-R BT.601, which Pillow and OpenCV use. */
const gray: Channel = (rgb, offset) =>
  Math.round(0.299 * red(rgb, offset) + 0.587 * green(rgb, offset) + 0.114 * blue(rgb, offset))

const CHANNELS: Readonly<Record<ImageHint['channels'], readonly Channel[]>> = {
  rgb: [red, green, blue],
  bgr: [blue, green, red],
  gray: [gray],
}

/** The value that each of the 256 levels becomes. */
function tabulateLevels({ mean, std }: ImageHint, index: number, isWhole: boolean): Float64Array {
  const centre = pickOfChannel('mean', mean, index)
  const spread = pickOfChannel('std', std, index)
  if (spread === 0)
    throw new EdgeError('config_invalid', 'Cannot normalise the image: the hint std has a zero')
  const levels = Float64Array.from({ length: 256 }, (_, level) => (level / 255 - centre) / spread)
  return isWhole ? levels.map(Math.round) : levels
}

/** A single number holds for every channel. */
function pickOfChannel(name: string, values: readonly number[], index: number): number {
  const value = values.length === 1 ? values[0] : values[index]
  if (value !== undefined) return value
  throw new EdgeError(
    'config_invalid',
    `Cannot normalise the image: the hint ${name} has ${values.length} numbers; wanted 1 or one for each channel`,
  )
}

function chooseShape(input: TensorSpec, hint: ImageHint, sides: Size & { channels: number }): number[] {
  const { width, height, channels } = sides
  const single = hint.layout === 'nchw' ? [channels, height, width] : [height, width, channels]
  const shape = [[1, ...single], single].find((candidate) => allowsShape(input.shape, candidate))
  if (shape !== undefined) return shape
  throw explainShape(input, [1, ...single], 'width, height, channels and layout')
}
