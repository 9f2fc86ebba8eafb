import { EdgeError } from '../kit/errors.ts'
import type { Timeline } from './parts.ts'
import type { Reader } from './reader.ts'
import { readNumbers, type Tensor } from './tensor.ts'
import { quote } from './text.ts'

interface Segment {
  readonly start_seconds: number
  readonly end_seconds: number
  readonly mean: number
}

/** One probability a window; windows above the threshold that follow each other are one segment. */
export class SegmentsReader implements Reader {
  readonly #hint: { readonly label: string; readonly threshold: number }
  readonly #timeline: Timeline
  readonly #probabilities: number[] = []

  constructor(hint: { readonly label: string; readonly threshold: number }, timeline: Timeline) {
    this.#hint = hint
    this.#timeline = timeline
  }

  add(output: Tensor): void {
    const [probability, another] = readNumbers(output)
    if (probability === undefined || another !== undefined) {
      throw new EdgeError(
        'config_invalid',
        `Cannot read output ${quote(output.name)} as segments: it has not one value a window but ` +
          `[${output.shape.join(', ')}]`,
      )
    }
    this.#probabilities.push(probability)
  }

  lines(): string[] {
    const segments = this.#findSegments()
    if (segments.length === 0) return [`no ${this.#hint.label}`]
    return segments.map(({ start_seconds, end_seconds, mean }) => {
      const times = `${start_seconds.toFixed(2)} s to ${end_seconds.toFixed(2)} s`
      return `${this.#hint.label} ${times} (mean ${mean.toFixed(2)})`
    })
  }

  json(): Readonly<Record<string, unknown>> {
    return { as: 'segments', label: this.#hint.label, segments: this.#findSegments() }
  }

  #findSegments(): Segment[] {
    const segments: Segment[] = []
    let start = 0
    for (const [index, probability] of this.#probabilities.entries()) {
      const isInside = probability > this.#hint.threshold
      if (!isInside) start = index + 1
      const next = this.#probabilities[index + 1] ?? Number.NEGATIVE_INFINITY
      if (isInside && !(next > this.#hint.threshold)) segments.push(this.#measureSegment(start, index + 1))
    }
    return segments
  }

  /** The last window may reach past the end of the recording; a segment does not. */
  #measureSegment(start: number, end: number): Segment {
    const { windowSeconds, durationSeconds } = this.#timeline
    const inside = this.#probabilities.slice(start, end)
    return {
      start_seconds: start * windowSeconds,
      end_seconds: Math.min(end * windowSeconds, durationSeconds),
      mean: inside.reduce((sum, probability) => sum + probability, 0) / inside.length,
    }
  }
}
