import type { Measured, Source } from '../source.ts'

/** What the agent knows already: nothing is read, and what it does not know is not told. */
export class Gauges implements Source {
  readonly name: string
  readonly #ask: () => Readonly<Record<string, number | undefined>>

  constructor(parts: { name: string; ask: () => Readonly<Record<string, number | undefined>> }) {
    this.name = parts.name
    this.#ask = parts.ask
  }

  read(): Promise<Measured[]> {
    const found = Object.entries(this.#ask())
    return Promise.resolve(found.flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }])))
  }
}
