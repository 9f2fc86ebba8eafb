import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeFolderDurably, writeDurably } from '../../kit/durable-file.ts'
import { EdgeError } from '../../kit/errors.ts'
import type { TrustPort } from '../../ota/ports.ts'
import type { TrustClient, TrustSource } from '../../trust/client.ts'
import { type ListedManifest, type Manifest, parseManifest, readManifest } from '../../trust/manifest.ts'
import type { TrustView } from '../../trust/view.ts'

/** What may run, by TUF; manifests are kept beside what is brought of their versions. */
export class TufTrust implements TrustPort {
  readonly #client: TrustClient
  readonly #source: (signal: AbortSignal) => TrustSource
  readonly #work: string
  readonly #installed: (sha256: string) => Promise<Uint8Array | undefined>

  constructor(parts: {
    client: TrustClient
    source: (signal: AbortSignal) => TrustSource
    work: string
    installed: (sha256: string) => Promise<Uint8Array | undefined>
  }) {
    this.#client = parts.client
    this.#source = parts.source
    this.#work = parts.work
    this.#installed = parts.installed
  }

  async refresh(signal: AbortSignal): Promise<TrustView> {
    return await this.#client.refresh(this.#source(signal))
  }

  async fetchManifest(listed: ListedManifest, signal: AbortSignal): Promise<Manifest> {
    const kept = await this.bytes(listed.sha256)
    if (kept !== undefined) return readManifest(kept, listed)
    const bytes = await this.#source(signal).fetchObject(listed.sha256, listed.bytes)
    if (bytes === undefined) {
      throw new EdgeError(
        'peer_failed',
        `Cannot fetch the manifest of ${listed.model} ${listed.version}: nobody has it`,
      )
    }
    const manifest = readManifest(bytes, listed)
    const path = this.#path(listed.sha256)
    await makeFolderDurably(dirname(path))
    await writeDurably(path, bytes)
    return manifest
  }

  async keptManifest(sha256: string): Promise<Manifest | undefined> {
    const bytes = await this.bytes(sha256)
    return bytes === undefined ? undefined : parseManifest(bytes)
  }

  /** Of a manifest on this disk, hashed again: it may have rotted. */
  async bytes(sha256: string): Promise<Uint8Array | undefined> {
    const read = [() => readFile(this.#path(sha256)).catch(() => undefined), () => this.#installed(sha256)]
    for (const each of read) {
      const bytes = await each()
      if (bytes !== undefined && createHash('sha256').update(bytes).digest('hex') === sha256) return bytes
    }
    return undefined
  }

  #path(sha256: string): string {
    return join(this.#work, sha256, 'manifest.json')
  }
}
