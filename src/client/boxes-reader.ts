import { EdgeError } from '../kit/errors.ts'
import { type Component, findComponents, type ProbabilityMap } from './components.ts'
import type { Placement } from './image-placement.ts'
import type { Reader } from './reader.ts'
import { countElements, readNumbers, type Tensor } from './tensor.ts'
import { quote } from './text.ts'

const BOXES_MAX = 100
/** Points of the map; what is smaller is noise. */
const AREA_MIN = 4

interface Box {
  readonly x_px: number
  readonly y_px: number
  readonly width_px: number
  readonly height_px: number
  readonly mean: number
}

/** Connected areas of a map of probabilities, as boxes in the pixels of the image that was given. */
export class BoxesReader implements Reader {
  readonly #hint: { readonly label: string; readonly threshold: number }
  readonly #placement: Placement
  readonly #boxes: Box[] = []

  constructor(hint: { readonly label: string; readonly threshold: number }, placement: Placement) {
    this.#hint = hint
    this.#placement = placement
  }

  add(output: Tensor): void {
    const map = readMap(output)
    for (const component of findComponents(map, this.#hint.threshold)) {
      const box = locateBox(component, map, this.#placement)
      if (component.area >= AREA_MIN && box.width_px > 0 && box.height_px > 0) this.#boxes.push(box)
    }
    this.#boxes.sort((a, b) => b.width_px * b.height_px - a.width_px * a.height_px)
  }

  lines(): string[] {
    if (this.#boxes.length === 0) return [`no ${this.#hint.label}`]
    const lines = this.#boxes.slice(0, BOXES_MAX).map(({ x_px, y_px, width_px, height_px, mean }) => {
      const place = `x ${x_px} y ${y_px} width ${width_px} height ${height_px}`
      return `${this.#hint.label} ${place} (${mean.toFixed(2)})`
    })
    if (this.#boxes.length > BOXES_MAX) lines.push(`… ${this.#boxes.length - BOXES_MAX} smaller ones`)
    return lines
  }

  json(): Readonly<Record<string, unknown>> {
    const boxes = this.#boxes.slice(0, BOXES_MAX)
    return { as: 'boxes', label: this.#hint.label, boxes_total: this.#boxes.length, boxes }
  }
}

function readMap(output: Tensor): ProbabilityMap {
  const [height, width] = output.shape.slice(-2)
  if (height !== undefined && width !== undefined && countElements(output.shape) === height * width) {
    return { width, height, values: readNumbers(output) }
  }
  throw new EdgeError(
    'config_invalid',
    `Cannot read output ${quote(output.name)} as boxes: it is not one map but [${output.shape.join(', ')}]`,
  )
}

/** The map covers the canvas, coarser perhaps; what lies beside the content is cut off. */
function locateBox(component: Component, map: ProbabilityMap, placement: Placement): Box {
  const { original, content, canvas } = placement
  const across = (canvas.width / map.width) * (original.width / content.width)
  const down = (canvas.height / map.height) * (original.height / content.height)
  const left = Math.round(component.left * across)
  const top = Math.round(component.top * down)
  const right = Math.min(original.width, Math.round(component.right * across))
  const bottom = Math.min(original.height, Math.round(component.bottom * down))
  return { x_px: left, y_px: top, width_px: right - left, height_px: bottom - top, mean: component.mean }
}
