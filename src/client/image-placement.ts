import type { ImageHint } from '../config/client-hints.ts'
import { EdgeError } from '../kit/errors.ts'

/** Of an image or a decoded tensor; also what `Bun.Image` is told to refuse. */
export const PIXELS_MAX = 64 * 1024 ** 2

export interface Size {
  readonly width: number
  readonly height: number
}

/**
 * How an image lies in the tensor:
 *
 *   ┌─────────┬──────┐
 *   │ content │ zero │  canvas: what the model sees
 *   ├─────────┘      │  content: the image, resized, in its upper left corner
 *   └────────────────┘
 */
export interface Placement {
  readonly original: Size
  readonly content: Size
  readonly canvas: Size
}

export function placeImage(original: Size, hint: ImageHint): Placement {
  const { width, height } = hint
  const placement =
    width !== undefined && height !== undefined
      ? placeInFixedSize(original, { width, height }, hint.fit)
      : placeInFreeSize(original, hint)
  const { canvas } = placement
  if (canvas.width * canvas.height <= PIXELS_MAX) return placement
  throw new EdgeError(
    'input_invalid',
    `Cannot resize an image of ${original.width} x ${original.height} pixels: the hints make it ` +
      `${canvas.width} x ${canvas.height}, at most ${PIXELS_MAX} pixels are allowed`,
  )
}

function placeInFixedSize(original: Size, canvas: Size, fit: ImageHint['fit']): Placement {
  if (fit === 'stretch') return { original, content: canvas, canvas }
  const scale = Math.min(canvas.width / original.width, canvas.height / original.height)
  return { original, content: scaleSize(original, scale), canvas }
}

function placeInFreeSize(original: Size, hint: ImageHint): Placement {
  const content = scaleSize(original, chooseScale(original, hint))
  // Stretching goes to the nearest multiple, which may be smaller; filling up never cuts.
  const round = hint.fit === 'stretch' ? Math.round : Math.ceil
  const toMultiple = (side: number) => Math.max(1, round(side / hint.multiple_of)) * hint.multiple_of
  const canvas = {
    width: hint.width ?? toMultiple(content.width),
    height: hint.height ?? toMultiple(content.height),
  }
  return { original, content: hint.fit === 'stretch' ? canvas : content, canvas }
}

/** One side given: the other keeps the aspect ratio. None: an image is only ever reduced. */
function chooseScale(original: Size, { width, height, longest_side_max }: ImageHint): number {
  if (width !== undefined) return width / original.width
  if (height !== undefined) return height / original.height
  return Math.min(1, longest_side_max / Math.max(original.width, original.height))
}

function scaleSize({ width, height }: Size, scale: number): Size {
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) }
}
