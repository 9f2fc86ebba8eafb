import { EdgeError } from '../kit/errors.ts'

/**
 * Why something is not trusted: the names that stand in the event log and in a registry's answers. `retry` says whether
 * the same attempt may succeed later without anybody changing this device.
 */
export const REFUSALS = {
  root_unusable: { retry: false, means: 'the root that this device holds cannot be read' },
  root_untrusted: { retry: true, means: 'a new root is not signed by enough keys of the one before it' },
  signer_unknown: { retry: true, means: 'signed by keys that the root does not name: another registry?' },
  publisher_not_delegated: { retry: true, means: 'signed by a key that may not publish this model family' },
  metadata_malformed: { retry: true, means: 'not metadata as TUF describes it' },
  metadata_oversize: { retry: true, means: 'more bytes, targets or roles than a device takes' },
  metadata_missing: { retry: true, means: 'the registry does not have a file that its metadata names' },
  metadata_tampered: { retry: true, means: 'a signature, hash or length does not fit' },
  metadata_mixed: { retry: true, means: 'files of different states of the registry' },
  metadata_expired: { retry: true, means: 'older than it may be: withheld, or the clock is ahead' },
  metadata_rolled_back: { retry: true, means: 'a lower version than this device has seen' },
  metadata_fast_forwarded: { retry: true, means: 'a version that no registry reaches' },
  director_unknown: { retry: true, means: 'no key is listed that may sign assignments' },
  chunk_tampered: {
    retry: true,
    means: 'chunks are not what the index that was signed says, whoever is asked',
  },
  object_tampered: { retry: true, means: 'an object is not what its hash says' },
  assignment_malformed: { retry: false, means: 'not an assignment in a DSSE envelope' },
  assignment_signature: { retry: false, means: 'not signed by the director' },
  assignment_other_device: { retry: false, means: 'meant for another device' },
  assignment_replayed: { retry: false, means: 'not newer than the one before' },
  time_malformed: { retry: false, means: 'not a statement of the time in a DSSE envelope' },
  time_signature: { retry: false, means: 'the time is not signed by the director' },
  time_replayed: { retry: false, means: 'not the answer to this question' },
  model_unlisted: { retry: true, means: 'no publisher has signed this version' },
  manifest_malformed: { retry: false, means: 'not a manifest' },
  manifest_hash: { retry: true, means: 'the manifest is not the one that was signed or assigned' },
  manifest_mismatch: { retry: false, means: 'the manifest is of another model, version or release' },
  below_security_floor: { retry: false, means: 'a release that was withdrawn for safety' },
  downgrade_not_allowed: { retry: false, means: 'an older release, and the assignment does not allow that' },
  hardware_unfit: { retry: false, means: 'no variant runs on this hardware' },
} as const satisfies Record<string, { retry: boolean; means: string }>

export type RefusalReason = keyof typeof REFUSALS

/** Something is not trusted, with the name of the reason. */
export class TrustRefusal extends EdgeError {
  readonly reason: RefusalReason

  constructor(reason: RefusalReason, message: string, options?: { cause?: unknown }) {
    super('untrusted', message, options)
    this.reason = reason
  }
}

/** Refuses unless the claim holds. */
export function requireTrust(
  isHeld: boolean,
  reason: RefusalReason,
  describe: () => string,
): asserts isHeld is true {
  if (!isHeld) throw new TrustRefusal(reason, describe())
}
