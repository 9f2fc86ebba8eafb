import { createHash } from 'node:crypto'
import { z } from 'zod'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { type CanonicalValue, decodeCanonical, encodeCanonical } from '../trust/canonical-json.ts'

/**
 * A bundle: signed versions in one file, for a site without a network.
 *
 *   "LIMPETB1" | entries, one after the other | index | u32 bytes of the index | 32 bytes SHA-256 of the index | "LIMPETBE"
 *
 * The index is canonical JSON: of each entry its name, bytes and SHA-256. An entry is `metadata/NAME` (TUF),
 * `objects/SHA256`, `packs/SHA256` or `assignments/DEVICE`. Nothing in it is trusted for being in it.
 */
export const HEAD = Buffer.from('LIMPETB1')
const TAIL = Buffer.from('LIMPETBE')
export const FOOTER_BYTES = 4 + 32 + TAIL.length

const INDEX_BYTES_MAX = 32 * 1024 * 1024
const ENTRIES_MAX = 200_000
const NAME =
  /^(?:metadata\/[A-Za-z0-9_.%-]{1,200}\.json|(?:objects|packs)\/[0-9a-f]{64}|assignments\/[A-Za-z0-9_.-]{1,128})$/

const Index = z.object({
  format: z.literal(1),
  entries: z
    .array(
      z.object({
        name: z.string().regex(NAME),
        bytes: z
          .int()
          .min(0)
          .max(2 ** 32),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
      }),
    )
    .max(ENTRIES_MAX),
})

export interface BundleEntry {
  readonly name: string
  readonly offset: number
  readonly bytes: number
  readonly sha256: string
}

/** What stands at the end of a bundle with these entries. */
export function encodeEnd(entries: readonly Omit<BundleEntry, 'offset'>[]): Uint8Array {
  const listed = entries.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 }))
  const index = encodeCanonical({ format: 1, entries: listed } satisfies CanonicalValue)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(index.length)
  return Buffer.concat([index, length, createHash('sha256').update(index).digest(), TAIL])
}

/** How many bytes the index has, and what it hashes to. */
export function readFooter(
  footer: Uint8Array,
  size: number,
): { readonly indexBytes: number; readonly sha256: string } {
  const view = Buffer.from(footer)
  if (view.length !== FOOTER_BYTES || !view.subarray(36).equals(TAIL)) {
    throw broken('it does not end as a bundle does; it was cut off, or is none')
  }
  const indexBytes = view.readUInt32BE(0)
  if (indexBytes > INDEX_BYTES_MAX || HEAD.length + indexBytes + FOOTER_BYTES > size) {
    throw broken(`its index has ${indexBytes} bytes, at most ${INDEX_BYTES_MAX} and what fits into ${size}`)
  }
  return { indexBytes, sha256: view.toString('hex', 4, 36) }
}

/** The entries, each in its place: they fill the file without a gap, and no name is there twice. */
export function readIndex(
  index: Uint8Array,
  { sha256, size }: { sha256: string; size: number },
): BundleEntry[] {
  if (createHash('sha256').update(index).digest('hex') !== sha256)
    throw broken('its index is not what its end says')
  const { entries } = parseIndex(index)
  let offset = HEAD.length
  const placed = entries.map((entry) => {
    const at = offset
    offset += entry.bytes
    return { ...entry, offset: at }
  })
  const expected = size - FOOTER_BYTES - index.length
  if (offset !== expected) throw broken(`its entries end at ${offset}, its index begins at ${expected}`)
  if (new Set(entries.map(({ name }) => name)).size !== entries.length)
    throw broken('an entry is there twice')
  return placed
}

function parseIndex(index: Uint8Array): z.infer<typeof Index> {
  try {
    return Index.parse(decodeCanonical(index, { bytesMax: INDEX_BYTES_MAX, depthMax: 4 }))
  } catch (cause) {
    const words =
      cause instanceof z.ZodError ? z.prettifyError(cause).replaceAll('\n', ' ') : messageOf(cause)
    throw broken(`its index is no index: ${words}`, cause)
  }
}

export function broken(what: string, cause?: unknown): EdgeError {
  return new EdgeError('input_invalid', `Cannot read the bundle: ${what}`, { cause })
}
