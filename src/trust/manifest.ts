import { createHash } from 'node:crypto'
import { z } from 'zod'
import { messageOf } from '../kit/errors.ts'
import { type CanonicalValue, decodeCanonical, encodeCanonical } from './canonical-json.ts'
import { isVersionName, splitModel } from './names.ts'
import { requireTrust, TrustRefusal } from './refusal.ts'

/** What a version is made of. Its hash and length stand in TUF metadata that a publisher has signed. */
export const MANIFEST_BYTES_MAX = 1024 * 1024
const BOUNDS = { bytesMax: MANIFEST_BYTES_MAX, depthMax: 8 } as const

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const Word = z.string().regex(/^[A-Za-z0-9_.:+-]{1,64}$/)
/** Relative, without a way out of the folder, a hidden name, or the place of the manifest itself. */
const FilePath = z
  .string()
  .max(512)
  .refine((path) => path.split('/').every((part) => /^[^./\\\p{Cc}][^/\\\p{Cc}]{0,254}$/u.test(part)), {
    error: 'expected a relative path like 1/model.onnx',
  })
  .refine((path) => path !== 'manifest.json', { error: 'this name is the manifest itself' })

const ManifestFile = z.object({
  path: FilePath,
  bytes: z
    .int()
    .min(0)
    .max(2 ** 40),
  sha256: Sha256,
  /** The object that lists the file's chunks, by its hash. */
  chunk_index: Sha256,
})

const Variant = z.object({
  name: Word,
  /** Names of hardware it runs on; "any" fits all. */
  hardware: z.array(Word).min(1).max(64),
  providers: z.array(Word).min(1).max(16),
  needs: z
    .object({
      memory_mb: z
        .int()
        .min(0)
        .max(2 ** 30)
        .default(0),
      disk_mb: z
        .int()
        .min(0)
        .max(2 ** 30)
        .default(0),
    })
    .prefault({}),
  files: z
    .array(ManifestFile)
    .min(1)
    .max(512)
    .refine((files) => new Set(files.map(({ path }) => path)).size === files.length, {
      error: 'a path is named twice',
    }),
})

const TensorSpec = z.object({
  name: z.string().min(1).max(512),
  datatype: z.string().regex(/^[A-Z0-9]{1,16}$/),
  /** -1 stands for any size. */
  shape: z
    .array(
      z
        .int()
        .min(-1)
        .max(2 ** 40),
    )
    .max(32)
    .nullable(),
})

const Manifest = z.object({
  format: z.literal(1),
  model: z.string().refine((model) => splitModel(model) !== undefined, { error: 'expected family/name' }),
  version: z.string().refine(isVersionName, { error: 'expected a name without a slash' }),
  release: z
    .int()
    .min(1)
    .max(2 ** 40),
  /** The first one that fits the device is taken. */
  variants: z.array(Variant).min(1).max(32),
  signature: z.object({
    inputs: z.array(TensorSpec).min(1).max(256),
    outputs: z.array(TensorSpec).min(1).max(256),
  }),
  /** Samples with their answers, and how far an answer may be off, in millionths. */
  golden: z
    .object({
      path: FilePath,
      atol_e6: z
        .int()
        .min(0)
        .max(10 ** 9),
      rtol_e6: z
        .int()
        .min(0)
        .max(10 ** 9),
    })
    .optional(),
})

export type Manifest = z.infer<typeof Manifest>
export type Variant = z.infer<typeof Variant>

/** What TUF says of a manifest. */
export interface ListedManifest {
  readonly model: string
  readonly version: string
  readonly release: number
  readonly sha256: string
  readonly bytes: number
}

/** The bytes to sign and store; throws a TypeError or a ZodError where the manifest is none. */
export function encodeManifest(manifest: Manifest): Uint8Array {
  return encodeCanonical(Manifest.parse(manifest) as CanonicalValue)
}

/** The manifest that TUF lists, or a refusal: the hash is looked at before anything is parsed. */
export function readManifest(bytes: Uint8Array, listed: ListedManifest): Manifest {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  requireTrust(
    bytes.length === listed.bytes && sha256 === listed.sha256,
    'manifest_hash',
    () =>
      `Cannot take the manifest: its ${bytes.length} bytes hash to ${sha256}, signed were ${listed.bytes} bytes with ${listed.sha256}`,
  )
  const manifest = parseManifest(bytes)
  for (const field of ['model', 'version', 'release'] as const) {
    requireTrust(
      manifest[field] === listed[field],
      'manifest_mismatch',
      () => `Cannot take the manifest: its ${field} is "${manifest[field]}", listed was "${listed[field]}"`,
    )
  }
  return manifest
}

export function parseManifest(bytes: Uint8Array): Manifest {
  try {
    return Manifest.parse(decodeCanonical(bytes, BOUNDS))
  } catch (cause) {
    const words = cause instanceof z.ZodError ? z.prettifyError(cause) : messageOf(cause)
    throw new TrustRefusal('manifest_malformed', `Cannot read the manifest: ${words.replaceAll('\n', ' ')}`, {
      cause,
    })
  }
}

/** What a device says of itself. */
export interface Hardware {
  /** Like "x64", "arm64", "sm87". */
  readonly names: readonly string[]
  readonly providers: readonly string[]
}

/** The first variant that runs here; the publisher's order is the order of preference. */
export function chooseVariant(manifest: Manifest, hardware: Hardware): Variant {
  const fitting = manifest.variants.find(
    ({ hardware: names, providers }) =>
      names.some((name) => name === 'any' || hardware.names.includes(name)) &&
      providers.some((provider) => hardware.providers.includes(provider)),
  )
  if (fitting !== undefined) return fitting
  const offered = manifest.variants.map(
    ({ name, hardware: names, providers }) => `${name} (${names.join(', ')}; ${providers.join(', ')})`,
  )
  throw new TrustRefusal(
    'hardware_unfit',
    `Cannot run ${manifest.model} ${manifest.version}: this device is ${hardware.names.join(', ')} with ` +
      `${hardware.providers.join(', ')}, its variants are ${offered.join(', ')}`,
  )
}
