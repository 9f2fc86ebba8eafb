import { EdgeError } from '../kit/errors.ts'
import { chunkFile, sha256Of } from '../store/chunks/chunk-file.ts'
import { PackWriter } from '../store/chunks/pack.ts'
import { encodeChunk } from '../store/chunks/stored-chunk.ts'
import type { CutFile } from './variant-files.ts'

/** Where chunks go. */
export interface UploadPort {
  /** Those of the chunks that are not there yet. */
  missingChunks(sha256s: readonly string[]): Promise<readonly string[]>
  postPack(bytes: Uint8Array): Promise<void>
  putObject(bytes: Uint8Array): Promise<void>
}

export interface UploadProgress {
  readonly doneBytes: number
  /** Of the chunks that were missing, unpacked. */
  readonly totalBytes: number
}

export interface Uploaded {
  /** All chunks, each once. */
  readonly chunkBytes: number
  readonly missingBytes: number
  /** What went over the line for them. */
  readonly sentBytes: number
}

/** Small enough that an upload that breaks off loses little: what is in a pack that arrived is not sent again. */
const PACK_BYTES = 8 * 1024 * 1024
const ASKED_AT_ONCE = 20_000

/** Uploads what is missing, and nothing else. Begun again, it goes on where it was. */
export async function uploadFiles(
  files: readonly CutFile[],
  port: UploadPort,
  report: (progress: UploadProgress) => void,
): Promise<Uploaded> {
  const lengths = new Map(
    files.flatMap(({ chunks }) => chunks.map(({ sha256, length }) => [sha256, length] as const)),
  )
  const missing = await askMissing([...lengths.keys()], port)
  const sum = (names: Iterable<string>) =>
    [...names].reduce((total, name) => total + (lengths.get(name) ?? 0), 0)
  const totalBytes = sum(missing)
  const upload = new Upload(port, (doneBytes) => report({ doneBytes, totalBytes }))
  for (const file of files) await upload.add(file, missing)
  await upload.finish()
  if (missing.size > 0) {
    throw new EdgeError(
      'input_invalid',
      `Cannot upload: ${missing.size} chunks are not in the files any more; they were changed meanwhile`,
    )
  }
  for (const { index } of files) await port.putObject(index)
  return { chunkBytes: sum(lengths.keys()), missingBytes: totalBytes, sentBytes: upload.sentBytes }
}

async function askMissing(names: readonly string[], port: UploadPort): Promise<Set<string>> {
  const missing = new Set<string>()
  for (let from = 0; from < names.length; from += ASKED_AT_ONCE) {
    for (const name of await port.missingChunks(names.slice(from, from + ASKED_AT_ONCE))) missing.add(name)
  }
  return missing
}

/** Packs that fill up and are sent, one after the other. */
class Upload {
  readonly #port: UploadPort
  readonly #report: (doneBytes: number) => void
  #pack = new PackWriter(PACK_BYTES)
  #packedBytes = 0
  #doneBytes = 0
  sentBytes = 0

  constructor(port: UploadPort, report: (doneBytes: number) => void) {
    this.#port = port
    this.#report = report
  }

  /** Takes from `missing` what it finds. */
  async add({ source, boundaries }: CutFile, missing: Set<string>): Promise<void> {
    for await (const { bytes } of chunkFile(source, boundaries)) {
      const sha256 = sha256Of(bytes)
      if (!missing.delete(sha256)) continue
      const chunk = { sha256, length: bytes.length, stored: encodeChunk(bytes) }
      if (!this.#pack.add(chunk)) {
        await this.finish()
        this.#pack.add(chunk)
      }
      this.#packedBytes += bytes.length
    }
  }

  async finish(): Promise<void> {
    if (this.#pack.count === 0) return
    const { bytes } = this.#pack.finish()
    await this.#port.postPack(bytes)
    this.sentBytes += bytes.length
    this.#doneBytes += this.#packedBytes
    this.#report(this.#doneBytes)
    this.#pack = new PackWriter(PACK_BYTES)
    this.#packedBytes = 0
  }
}
