import { createHash } from 'node:crypto'

/** Everything that decides what a runtime makes of a model: where any of it differs, so may the result. */
export interface EngineFacts {
  /** "optimized": the graph as ONNX Runtime has rewritten it. "engine": what a provider has compiled. */
  readonly kind: 'optimized' | 'engine'
  /** SHA-256 of the model's files. */
  readonly model: string
  /** The library: version, build, size. */
  readonly runtime: Facts
  /** The board: processor and what it can do; GPU and driver where a provider needs them. */
  readonly board: Facts
  /** In order, with all options (precision and shape profiles are among them) and what library each comes from. */
  readonly providers: readonly {
    readonly name: string
    readonly options: Facts
    readonly library: string
  }[]
  readonly session: {
    readonly graphOptimization: string
    readonly freeDimensions: Readonly<Record<string, number>>
    readonly configEntries: Facts
  }
}

export type Facts = Readonly<Record<string, string>>

/** The name of an entry. */
export function engineKey(facts: EngineFacts): string {
  return digestOf(facts)
}

/** Of what has no order of its own in one order, so that equal facts have equal digests. */
export function digestOf(value: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(ordered(value)))
    .digest('hex')
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered)
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1))
  return entries.map(([name, part]) => [name, ordered(part)])
}
