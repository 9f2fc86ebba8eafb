import { z } from 'zod'
import { EdgeError } from '../kit/errors.ts'
import { approveModel } from '../trust/approval.ts'
import type { AssignedModel } from '../trust/assignment.ts'
import { decodeJson } from '../trust/canonical-json.ts'
import type { ListedManifest } from '../trust/manifest.ts'
import { parseManifest } from '../trust/manifest.ts'
import type { TufRepository } from '../trust/repository.ts'
import type { TrustView } from '../trust/view.ts'
import type { Objects } from './objects.ts'
import type { Packs } from './packs.ts'

const METADATA_BOUNDS = { bytesMax: 2 * 1024 ** 2, depthMax: 16 } as const

const Targets = z.object({
  signed: z.object({
    targets: z
      .record(z.string(), z.object({ hashes: z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }) }))
      .default({}),
  }),
})

/** A version as the registry lists it. */
export type PublishedVersion = ListedManifest & { readonly floor: number }

/** What publishers have signed, and whether all of it is here. */
export class Published {
  readonly #repository: TufRepository
  readonly #objects: Objects
  readonly #packs: Packs
  /** Manifests whose every byte was found here: content is only ever added. */
  readonly #complete = new Set<string>()
  /** As devices see it now; made again after each change. */
  #view: Promise<TrustView> | undefined

  constructor(parts: { repository: TufRepository; objects: Objects; packs: Packs }) {
    this.#repository = parts.repository
    this.#objects = parts.objects
    this.#packs = parts.packs
  }

  /** Takes newly signed metadata: only when nothing that it names is missing here, and if a device would take it. */
  async accept(role: string, bytes: Uint8Array): Promise<void> {
    if (role !== 'root') await this.#requireContent(bytes)
    await this.#repository.accept(role, bytes)
    this.#view = undefined
  }

  /** Signs anew what is about to expire; true where it did. */
  async resign(): Promise<boolean> {
    const isNew = await this.#repository.resign()
    if (isNew) this.#view = undefined
    return isNew
  }

  /** Ids of the keys that may sign for the family. */
  async publishersOf(family: string): Promise<readonly string[]> {
    return (await this.#current()).publishersOf(family)
  }

  /** 0 where the family has published nothing. */
  async familyVersion(family: string): Promise<number> {
    return (await (await this.#current()).familyFields(family)).version
  }

  /** Above what devices have seen; true where that was above what is here. */
  async resignAbove(seen: { timestamp: number; snapshot: number }): Promise<boolean> {
    const isNew = await this.#repository.resignAbove(seen)
    if (isNew) this.#view = undefined
    return isNew
  }

  /** Above a timestamp of its own that it has forgotten; true where that was above what is here. */
  async resignAboveOwn(timestamp: Uint8Array): Promise<boolean> {
    const isNew = await this.#repository.resignAboveOwn(timestamp)
    if (isNew) this.#view = undefined
    return isNew
  }

  /** What of that metadata could not be listed here, by its path: something of it was never brought, or is lost. */
  async missing(metadata: Uint8Array): Promise<string[]> {
    const missing: string[] = []
    for (const [path, sha256] of targetsIn(metadata)) {
      const isHere = await this.#requireTarget(path, sha256).then(
        () => true,
        (error: unknown) => {
          if (error instanceof EdgeError && error.code === 'conflict') return false
          throw error
        },
      )
      if (!isHere) missing.push(path)
    }
    return missing
  }

  async list(): Promise<PublishedVersion[]> {
    return await (await this.#current()).listModels()
  }

  /** What an assignment says of a version, or why no device would take it. */
  async resolve(wanted: {
    readonly model: string
    readonly version: string
  }): Promise<{ manifest: string; release: number }> {
    const facts = await (await this.#current()).facts(wanted.model, wanted.version)
    if (facts.listed === undefined) {
      throw new EdgeError(
        'model_unknown',
        `Cannot find ${wanted.model} ${wanted.version}: no publisher has signed it`,
      )
    }
    const { sha256: manifest, release } = facts.listed
    const assigned: AssignedModel = { ...wanted, manifest, release, allow_downgrade: true }
    approveModel(assigned, facts, undefined)
    return { manifest, release }
  }

  #current(): Promise<TrustView> {
    this.#view ??= this.#repository.view().catch((error: unknown) => {
      this.#view = undefined
      throw error
    })
    return this.#view
  }

  async #requireContent(metadata: Uint8Array): Promise<void> {
    for (const [path, sha256] of targetsIn(metadata)) await this.#requireTarget(path, sha256)
  }

  async #requireTarget(path: string, sha256: string): Promise<void> {
    if (this.#complete.has(sha256)) return
    if (path.startsWith('models/')) await this.#requireVersion(path, sha256)
    else await this.#requireObject(sha256, `the target "${path}"`)
    this.#complete.add(sha256)
  }

  async #requireVersion(path: string, sha256: string): Promise<void> {
    const manifest = parseManifest(await this.#requireObject(sha256, `the target "${path}"`))
    for (const file of manifest.variants.flatMap(({ files }) => files)) {
      await this.#requireObject(file.chunk_index, `the chunk index of "${file.path}" in "${path}"`)
      const chunks = await this.#objects.chunks(file.chunk_index)
      if (chunks.fileBytes !== file.bytes)
        throw incomplete(
          `the chunks of "${file.path}" in "${path}" come to ${chunks.fileBytes} bytes, the manifest says ${file.bytes}`,
        )
      for (let chunk = 0; chunk < chunks.count; chunk += 1) {
        if (this.#packs.place(chunks.sha256(chunk)) !== undefined) continue
        throw incomplete(`chunk ${chunk} of "${file.path}" in "${path}" is not here`)
      }
    }
  }

  async #requireObject(sha256: string, what: string): Promise<Uint8Array> {
    try {
      return await this.#objects.blobs.read(sha256)
    } catch (cause) {
      if (!(cause instanceof EdgeError) || cause.code !== 'not_found') throw cause
      throw incomplete(`${what}, object ${sha256}, is not here`, cause)
    }
  }
}

function incomplete(what: string, cause?: unknown): EdgeError {
  return new EdgeError('conflict', `Cannot publish: ${what}; upload it first`, { cause })
}

/** Unverified: what it names is only looked for here. Whether it is signed is asked afterwards. */
function targetsIn(metadata: Uint8Array): [path: string, sha256: string][] {
  try {
    const { signed } = Targets.parse(decodeJson(metadata, METADATA_BOUNDS))
    return Object.entries(signed.targets).map(([path, { hashes }]) => [path, hashes.sha256])
  } catch (cause) {
    throw new EdgeError('input_invalid', 'Cannot publish: expected TUF targets metadata as JSON', { cause })
  }
}
