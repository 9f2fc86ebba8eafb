import { LengthOrHashMismatchError, UnsignedMetadataError } from '@tufjs/models/dist/error'
import { BadVersionError, ExpiredMetadataError } from 'tuf-js/dist/error'
import { messageOf } from '../kit/errors.ts'
import type { Glimpse } from './metadata-bounds.ts'
import { type RefusalReason, TrustRefusal } from './refusal.ts'

/** What tuf-js was asked to accept. */
export interface Judged {
  readonly role: string
  readonly kind: 'root' | 'timestamp' | 'snapshot' | 'targets' | 'delegated'
  readonly glimpse: Glimpse
  /** The keys that may sign the role. */
  readonly keyIds: readonly string[]
  /** The version that another file promised, where one did. */
  readonly promised: number | undefined
}

/** Gives the refusal of tuf-js its name. */
export function refusalOf(error: unknown, judged: Judged): TrustRefusal {
  const words = messageOf(error)
  return new TrustRefusal(reasonOf(error, judged), `Cannot take the ${judged.role} metadata: ${words}`, {
    cause: error,
  })
}

function reasonOf(error: unknown, judged: Judged): RefusalReason {
  if (error instanceof ExpiredMetadataError) return 'metadata_expired'
  // A root that skips a version, or that the one before has not signed, is another repository's as far as we can know.
  if (judged.kind === 'root')
    return error instanceof UnsignedMetadataError || error instanceof BadVersionError
      ? 'root_untrusted'
      : 'metadata_malformed'
  if (error instanceof UnsignedMetadataError) return reasonOfSignature(judged)
  if (error instanceof LengthOrHashMismatchError) return 'metadata_tampered'
  if (error instanceof BadVersionError) {
    return judged.promised === undefined || judged.glimpse.version === judged.promised
      ? 'metadata_rolled_back'
      : 'metadata_mixed'
  }
  // A snapshot that leaves out a role which an older one listed (specification 5.5.5).
  if (judged.kind === 'snapshot' && /^Missing file/.test(messageOf(error))) return 'metadata_rolled_back'
  return 'metadata_malformed'
}

function reasonOfSignature({ kind, glimpse, keyIds }: Judged): RefusalReason {
  if (glimpse.signers.some((signer) => keyIds.includes(signer))) return 'metadata_tampered'
  return kind === 'delegated' ? 'publisher_not_delegated' : 'signer_unknown'
}
