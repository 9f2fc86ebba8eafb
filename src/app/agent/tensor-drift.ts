import type { Measured, Source } from '../../health/source.ts'
import { readSamples, type Sample } from './serve-metrics.ts'

/** More series would take the place of what the board says. */
const TENSORS_MAX = 32
const LABEL_LENGTH_MAX = 256

interface Counters {
  readonly count: number
  readonly sum: number
  readonly squares: number
  /** NaN and infinities. */
  readonly notFinite: number
}

const COUNTERS: Readonly<Record<string, keyof Counters>> = {
  limpet_tensor_values_count: 'count',
  limpet_tensor_values_sum: 'sum',
  limpet_tensor_squares_total: 'squares',
  limpet_tensor_nan_total: 'notFinite',
  limpet_tensor_infinite_total: 'notFinite',
}
const NOTHING: Counters = { count: 0, sum: 0, squares: 0, notFinite: 0 }
const LABELS = ['model', 'version', 'direction', 'tensor'] as const

type Tensors = ReadonlyMap<string, Counters>

/** What the numbers of the models were like since the reading before: a change shows, however long a version has served. */
export class TensorDrift implements Source {
  readonly name = 'drift'
  readonly #readMetrics: () => Promise<string | undefined>
  #before: Tensors = new Map()

  constructor({ readMetrics }: { readMetrics: () => Promise<string | undefined> }) {
    this.#readMetrics = readMetrics
  }

  async read(): Promise<Measured[]> {
    const text = await this.#readMetrics()
    if (text === undefined) return []
    const now = readTensors(text)
    const before = this.#before
    this.#before = now
    return [...now].flatMap(([key, counters]) => {
      const labels = JSON.parse(key) as Record<string, string>
      return measure(counters, before.get(key) ?? NOTHING).map((each) => ({ ...each, labels }))
    })
  }
}

function readTensors(text: string): Tensors {
  const tensors = new Map<string, Counters>()
  for (const { name, labels, value } of readSamples(text)) {
    const counter = COUNTERS[name]
    if (counter === undefined) continue
    const key = keyOf(labels)
    const known = tensors.get(key)
    if (known === undefined && tensors.size >= TENSORS_MAX) continue
    const counters = known ?? NOTHING
    tensors.set(key, { ...counters, [counter]: counters[counter] + value })
  }
  return tensors
}

function keyOf(labels: Sample['labels']): string {
  return JSON.stringify(
    Object.fromEntries(LABELS.map((name) => [name, (labels.get(name) ?? '').slice(0, LABEL_LENGTH_MAX)])),
  )
}

/** Nothing where nothing was looked at; counted from nothing where another run of the data plane does. */
function measure(now: Counters, before: Counters): { name: string; value: number }[] {
  const then = now.count < before.count || now.notFinite < before.notFinite ? NOTHING : before
  const count = now.count - then.count
  const notFinite = now.notFinite - then.notFinite
  if (count + notFinite === 0) return []
  const percent = { name: 'tensor_not_finite_percent', value: (100 * notFinite) / (count + notFinite) }
  if (count === 0) return [percent]
  const mean = (now.sum - then.sum) / count
  const variance = Math.max(0, (now.squares - then.squares) / count - mean * mean)
  return [
    percent,
    { name: 'tensor_mean', value: mean },
    { name: 'tensor_deviation', value: Math.sqrt(variance) },
  ]
}
