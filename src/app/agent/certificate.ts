import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Measured, Source } from '../../health/source.ts'
import type { Clock } from '../../kit/clock.ts'

const DAY_MS = 86_400_000

/** How long the device's own certificate is good for: read anew each time, because somebody may have renewed it. */
export class CertificateAge implements Source {
  readonly name = 'certificate'
  readonly #path: string | undefined
  readonly #clock: Clock

  constructor({ path, clock }: { path: string | undefined; clock: Clock }) {
    this.#path = path
    this.#clock = clock
  }

  async read(): Promise<Measured[]> {
    if (this.#path === undefined) return []
    const certificate = new X509Certificate(await readFile(this.#path))
    const leftMs = certificate.validToDate.getTime() - this.#clock.now()
    return [{ name: 'certificate_days', value: leftMs / DAY_MS }]
  }
}
