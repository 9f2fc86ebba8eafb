import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { EngineFacts } from './key.ts'

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/)
/** No folders: what lies in an entry lies side by side. */
const FileName = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/)
const Facts = z.record(z.string(), z.string())

/** What an entry says of itself. It is written last: where it is whole, so is everything that it names. */
const Manifest = z.strictObject({
  format: z.literal(1),
  facts: z.strictObject({
    kind: z.enum(['optimized', 'engine']),
    model: Sha256,
    runtime: Facts,
    board: Facts,
    providers: z.array(z.strictObject({ name: z.string(), options: Facts, library: z.string() })),
    session: z.strictObject({
      graphOptimization: z.string(),
      freeDimensions: z.record(z.string(), z.number()),
      configEntries: Facts,
    }),
  }) satisfies z.ZodType<EngineFacts>,
  /** Loaded when it was made, path to stamp: where one is not what it was, the entry is of no use. */
  libraries: Facts,
  /** For people: "model/version" as it was called when it was made. */
  madeFor: z.string(),
  /** Why nothing is kept for this key, "" where something is: it need not be tried again. */
  unfit: z.string(),
  /** Of the session's inputs, outputs and metadata: what is loaded has to have the same. */
  signature: z.string(),
  files: z.array(z.strictObject({ name: FileName, bytes: z.int().min(0), sha256: Sha256 })).max(4096),
})

export type Manifest = Readonly<Omit<z.infer<typeof Manifest>, 'facts'>> & { readonly facts: EngineFacts }
export type ManifestFile = Manifest['files'][number]

export const MANIFEST_NAME = 'manifest.json'
/** Shape profiles and long lists of options included. */
export const MANIFEST_BYTES_MAX = 4 * 1024 ** 2

/** The second line is the digest of the first. */
export function writeManifest(manifest: Manifest): Uint8Array {
  const text = JSON.stringify(manifest)
  return new TextEncoder().encode(`${text}\n${sha256(text)}\n`)
}

/** Undefined where it is not what was written. */
export function readManifest(bytes: Uint8Array): Manifest | undefined {
  const [text = '', digest, end, ...more] = new TextDecoder().decode(bytes).split('\n')
  if (digest !== sha256(text) || end !== '' || more.length > 0) return undefined
  try {
    return Manifest.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
