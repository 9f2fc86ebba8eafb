import { decode } from 'fast-png'
import { assert } from '../kit/assert.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { PIXELS_MAX, type Size } from './image-placement.ts'
import type { SourceFile } from './source-file.ts'
import { quote } from './text.ts'

/** Three bytes a pixel: red, green, blue. */
export interface Pixels extends Size {
  readonly rgb: Uint8Array
}

const WHITE = 255
const OPAQUE = 255

/** Width and height as a person sees the image, with the camera's orientation applied. */
export async function measureImage(file: SourceFile): Promise<Size> {
  try {
    const { width, height } = await openImage(file).metadata()
    return { width, height }
  } catch (cause) {
    throw notDecodable(file, cause)
  }
}

export async function decodeImage(file: SourceFile, size: Size): Promise<Pixels> {
  const png = decode(await encodePng(file, size))
  assert(png.depth === 8 && png.channels === 4, 'Bun.Image writes PNG with four channels of eight bits')
  return { width: png.width, height: png.height, rgb: layOnWhite(png.data) }
}

/** `Bun.Image` decodes, turns and resizes but gives out files only: an uncompressed PNG is the cheapest. */
async function encodePng(file: SourceFile, { width, height }: Size): Promise<Uint8Array> {
  try {
    const image = openImage(file).resize(width, height, { filter: 'bilinear', fit: 'fill' })
    return await image.png({ compressionLevel: 0 }).bytes()
  } catch (cause) {
    throw notDecodable(file, cause)
  }
}

function openImage({ bytes }: SourceFile): Bun.Image {
  return new Bun.Image(bytes, { maxPixels: PIXELS_MAX })
}

/** As a page would show it: the colour hidden below what is transparent is often black. */
function layOnWhite(rgba: ArrayLike<number>): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3)
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    const alpha = rgba[from + 3] ?? OPAQUE
    for (let colour = 0; colour < 3; colour += 1, to += 1) {
      const level = rgba[from + colour] ?? 0
      rgb[to] = alpha === OPAQUE ? level : Math.round((level * alpha + WHITE * (OPAQUE - alpha)) / OPAQUE)
    }
  }
  return rgb
}

function notDecodable({ name }: SourceFile, cause: unknown): EdgeError {
  return new EdgeError('input_invalid', `Cannot decode the image ${quote(name)}: ${messageOf(cause)}`, {
    cause,
  })
}
