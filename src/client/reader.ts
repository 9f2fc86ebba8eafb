import { BoxesReader } from './boxes-reader.ts'
import { ClassesReader } from './classes-reader.ts'
import type { OutputHint } from './hints.ts'
import type { Placement } from './image-placement.ts'
import type { Timeline } from './parts.ts'
import { SegmentsReader } from './segments-reader.ts'
import type { Tensor } from './tensor.ts'
import { ValuesReader } from './values-reader.ts'

/** Takes one output of every answer of a run and says what it means. */
export interface Reader {
  add(output: Tensor): void
  /** For a person. */
  lines(): string[]
  /** For a program: names with their units. */
  json(): Readonly<Record<string, unknown>>
}

/** What the run was made of, as far as answers are read by it. */
export interface View {
  readonly placement?: Placement | undefined
  readonly timeline?: Timeline | undefined
}

/** Segments need a recording and boxes an image; made of something else, such an output is shown as values. */
export function createReader(hint: OutputHint | undefined, { placement, timeline }: View): Reader {
  if (hint?.as === 'classes') return new ClassesReader(hint.labels)
  if (hint?.as === 'segments' && timeline !== undefined) return new SegmentsReader(hint, timeline)
  if (hint?.as === 'boxes' && placement !== undefined) return new BoxesReader(hint, placement)
  return new ValuesReader()
}
