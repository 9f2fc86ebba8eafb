import { EdgeError } from '../kit/errors.ts'
import type { Reader } from './reader.ts'
import { readNumbers, type Tensor } from './tensor.ts'
import { quote } from './text.ts'

const LINES_MAX = 20
const LABEL_WIDTH_MAX = 60

/** A score for each label; of several windows, its mean. */
export class ClassesReader implements Reader {
  readonly #labels: readonly string[]
  readonly #sums: Float64Array
  #windows = 0

  constructor(labels: readonly string[]) {
    this.#labels = labels
    this.#sums = new Float64Array(labels.length)
  }

  add(output: Tensor): void {
    const scores = readNumbers(output)
    if (scores.length !== this.#labels.length) {
      throw new EdgeError(
        'config_invalid',
        `Cannot read output ${quote(output.name)} as classes: it has ${scores.length} scores, its hint ` +
          `${this.#labels.length} labels`,
      )
    }
    for (const [index, score] of scores.entries()) this.#sums[index] = (this.#sums[index] ?? 0) + score
    this.#windows += 1
  }

  lines(): string[] {
    const scores = this.#sortScores()
    const shown = scores.slice(0, LINES_MAX)
    const width = Math.min(LABEL_WIDTH_MAX, Math.max(...shown.map(({ label }) => label.length)))
    const lines = shown.map(({ label, score }) => `${label.padEnd(width)}    ${score.toFixed(4)}`)
    if (scores.length > LINES_MAX) lines.push(`… ${scores.length - LINES_MAX} more; all of them with --json`)
    return lines
  }

  json(): Readonly<Record<string, unknown>> {
    return { as: 'classes', windows: this.#windows, scores: this.#sortScores() }
  }

  #sortScores(): { label: string; score: number }[] {
    const scores = this.#labels.map((label, index) => ({
      label,
      score: (this.#sums[index] ?? 0) / this.#windows,
    }))
    return scores.sort((a, b) => b.score - a.score)
  }
}
