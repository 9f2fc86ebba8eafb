import type { Files } from '../files.ts'
import type { Measured, Source } from '../source.ts'

const RESOURCES = ['cpu', 'memory', 'io'] as const
/** `some avg10=1.53 avg60=0.87 avg300=0.23 total=123456` */
const LINE = /^(some|full) avg10=([\d.]+)/gm

/** For how much of the last ten seconds somebody ("some") or everybody ("full") waited (kernel: accounting/psi). */
export class Pressure implements Source {
  readonly name = 'pressure'
  readonly #files: Files

  constructor(files: Files) {
    this.#files = files
  }

  async read(): Promise<Measured[]> {
    const texts = await Promise.all(
      RESOURCES.map((resource) => this.#files.read(`proc/pressure/${resource}`)),
    )
    return RESOURCES.flatMap((resource, index) =>
      [...(texts[index] ?? '').matchAll(LINE)].map(([, kind = '', percent]) => ({
        name: 'pressure_percent',
        labels: { resource, kind },
        value: Number(percent),
      })),
    )
  }
}
