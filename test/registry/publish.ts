/** What a publisher does, by hand: packs, chunk indexes, a manifest, signed metadata. */
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { chunkBytes } from '../../src/store/chunks/chunk-file.ts'
import { encodeChunkIndex, type IndexedChunk } from '../../src/store/chunks/chunk-index.ts'
import { PackWriter } from '../../src/store/chunks/pack.ts'
import { encodeChunk } from '../../src/store/chunks/stored-chunk.ts'
import { readSigningKey, type SigningKey } from '../../src/trust/key.ts'
import { encodeManifest } from '../../src/trust/manifest.ts'
import { signTargets, type TargetFields } from '../../src/trust/sign-metadata.ts'

export type Send = (method: string, path: string, body: Uint8Array) => Promise<Response>

export interface Version {
  readonly model: string
  readonly version: string
  readonly release: number
  readonly files: Readonly<Record<string, Uint8Array>>
  readonly golden?: { readonly path: string; readonly atol_e6: number; readonly rtol_e6: number }
  readonly hardware?: readonly string[]
  readonly memoryMb?: number
}

export const sha256Of = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Objects and packs of a version, and the target that stands for it. */
export function packVersion(published: Version) {
  const { model, version, release, files, golden, hardware = ['any'], memoryMb = 0 } = published
  const writers = [new PackWriter()]
  const objects: Uint8Array[] = []
  const listed = Object.entries(files).map(([path, bytes]) => {
    const chunks: IndexedChunk[] = []
    for (const { bytes: plain } of chunkBytes(bytes)) {
      const chunk = { sha256: sha256Of(plain), length: plain.length, stored: encodeChunk(plain) }
      chunks.push(chunk)
      if (writers.at(-1)?.add(chunk) === true) continue
      const next = new PackWriter()
      next.add(chunk)
      writers.push(next)
    }
    const index = encodeChunkIndex(chunks)
    objects.push(index)
    return { path, bytes: bytes.length, sha256: sha256Of(bytes), chunk_index: sha256Of(index) }
  })
  const tensor = { name: 'x', datatype: 'FP32', shape: [1] }
  const manifest = encodeManifest({
    format: 1,
    model,
    version,
    release,
    variants: [
      {
        name: 'fp32',
        hardware: [...hardware],
        providers: ['cpu'],
        needs: { memory_mb: memoryMb, disk_mb: 0 },
        files: listed,
      },
    ],
    signature: { inputs: [tensor], outputs: [tensor] },
    ...(golden === undefined ? {} : { golden }),
  })
  const target: TargetFields = {
    length: manifest.length,
    hashes: { sha256: sha256Of(manifest) },
    custom: { release },
  }
  return {
    packs: writers.map((writer) => writer.finish().bytes),
    objects: [...objects, manifest],
    indexes: objects,
    targets: { [`models/${model}/${version}.json`]: target },
    manifest: sha256Of(manifest),
  }
}

export async function upload(
  packed: Pick<ReturnType<typeof packVersion>, 'packs' | 'objects'>,
  send: Send,
): Promise<void> {
  for (const pack of packed.packs) await expectCreated(send('POST', '/v1/packs', pack))
  for (const object of packed.objects)
    await expectCreated(send('PUT', `/v1/objects/${sha256Of(object)}`, object))
}

async function expectCreated(sent: Promise<Response>): Promise<void> {
  const response = await sent
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`)
}

/** The key that a ceremony has made for a family. */
export async function publisherKey(fleet: string, family: string): Promise<SigningKey> {
  const folder = join(fleet, 'publishers')
  const name = (await readdir(folder)).find((one) => one.startsWith(`${family}-`)) ?? ''
  return readSigningKey(await Bun.file(join(folder, name)).text(), { name })
}

export function signFamily(
  fields: {
    version: number
    targets: Readonly<Record<string, TargetFields>>
    floors?: Readonly<Record<string, number>>
    nowMs: number
  },
  key: SigningKey,
): Uint8Array {
  const { version, targets, floors = {} } = fields
  const expires = new Date(fields.nowMs + 30 * 86_400_000).toISOString().replace(/\.\d+Z$/, 'Z')
  return signTargets({ version, expires, targets, limpet_floors: floors }, [key])
}
