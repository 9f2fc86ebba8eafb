/** TUF's metadata, verified in full once in each process: what ten thousand devices would find the same is looked at once. */

import { TufTrust } from '../../src/app/agent/trust-port.ts'
import { BUILD } from '../../src/app/build-info.ts'
import { systemClock } from '../../src/kit/clock.ts'
import type { Database } from '../../src/kit/database.ts'
import { systemRandom } from '../../src/kit/random.ts'
import type { Link } from '../../src/link/link.ts'
import type { TrustPort } from '../../src/ota/ports.ts'
import { TrustClient } from '../../src/trust/client.ts'
import { HighWaterTable } from '../../src/trust/high-water.ts'
import type { Manifest } from '../../src/trust/manifest.ts'
import { MetadataFolder } from '../../src/trust/metadata-files.ts'
import type { TrustView } from '../../src/trust/view.ts'

const TIMESTAMP_BYTES_MAX = 64 * 1024

export class SharedTrust {
  readonly highWater: HighWaterTable
  readonly #tuf: TufTrust
  readonly #manifests = new Map<string, Promise<Manifest>>()
  /** Whoever looks now lends its line. */
  #link: Link | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #known: { readonly timestamp: Uint8Array; readonly view: TrustView } | undefined
  /** How often all of it was verified. */
  verified = 0

  constructor({ folder, database, root }: { folder: string; database: Database; root: unknown }) {
    this.highWater = new HighWaterTable(database)
    this.#tuf = new TufTrust({
      client: new TrustClient({
        files: new MetadataFolder(folder),
        highWater: this.highWater,
        clock: systemClock,
        builtMs: BUILD.committedMs,
        enrolledRoot: Buffer.from(JSON.stringify(root)),
        makeNonce: () => systemRandom.bytes(16).toHex(),
      }),
      source: (signal) => ({
        fetchMetadata: (name, bytesMax) => this.#asking.fetchMetadata(name, bytesMax, signal),
        fetchObject: (sha256, bytesMax) => this.#asking.fetchObject(sha256, bytesMax, signal),
        fetchTime: (nonce) => this.#asking.fetchTime(nonce, signal),
      }),
      work: `${folder}/work`,
      installed: () => Promise.resolve(undefined),
    })
  }

  /** As one device has it. */
  of(link: Link): Omit<TrustPort, 'refresh'> & Pick<TufTrust, 'refresh'> {
    return {
      refresh: (signal) => this.#refresh(link, signal),
      fetchManifest: (listed, signal) => {
        const known = this.#manifests.get(listed.sha256)
        if (known !== undefined) return known
        const fetched = this.#inTurn(link, () => this.#tuf.fetchManifest(listed, signal))
        this.#manifests.set(listed.sha256, fetched)
        fetched.catch(() => this.#manifests.delete(listed.sha256))
        return fetched
      },
      keptManifest: (sha256) => this.#manifests.get(sha256) ?? Promise.resolve(undefined),
    }
  }

  /** Each device asks for the timestamp itself; what is the same as what was verified before is not verified again. */
  async #refresh(link: Link, signal: AbortSignal): Promise<TrustView> {
    const timestamp = await link.fetchMetadata('timestamp.json', TIMESTAMP_BYTES_MAX, signal)
    return await this.#inTurn(link, async () => {
      const known = this.#known
      if (known !== undefined && timestamp !== undefined && Buffer.compare(known.timestamp, timestamp) === 0)
        return known.view
      const view = await this.#tuf.refresh(signal)
      this.verified += 1
      if (timestamp !== undefined) this.#known = { timestamp, view }
      return view
    })
  }

  #inTurn<T>(link: Link, work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => {
      this.#link = link
      return work()
    })
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  get #asking(): Link {
    if (this.#link === undefined) throw new Error('Nobody asks')
    return this.#link
  }
}
