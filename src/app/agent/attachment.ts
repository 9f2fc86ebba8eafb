import { createHash } from 'node:crypto'
import type { Clock } from '../../kit/clock.ts'
import { EdgeError, messageOf } from '../../kit/errors.ts'
import { UPLOAD_BYTES_MAX } from '../../link/commands.ts'

/** With what stands around it an event has to fit into one message of the brokers that take the least: 56 KiB. */
export const INLINE_BYTES_MAX = 44 * 1024
const WAITS_MS = [0, 1_000, 5_000]

export interface Attachment {
  readonly bytes: number
  readonly sha256: string
  readonly content_type: string
  /** `upload`: the registry has it; `inline`: here it is. */
  readonly at: 'upload' | 'inline'
  readonly base64?: string
}

type Bring = (rid: string, bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal) => Promise<void>

/** Brings what a command has gathered to the registry: by HTTP, or where that does not go and it is little, with the event. */
export async function attach(
  content: { readonly bytes: Uint8Array<ArrayBuffer>; readonly type: string },
  to: { readonly rid: string; readonly bring: Bring; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Attachment> {
  const { bytes, type } = content
  const described = {
    bytes: bytes.byteLength,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    content_type: type,
  }
  if (bytes.byteLength > UPLOAD_BYTES_MAX) {
    throw new EdgeError(
      'body_too_large',
      `Cannot upload ${bytes.byteLength} bytes: at most ${UPLOAD_BYTES_MAX}`,
    )
  }
  const problem = await tryToBring(bytes, to)
  if (problem === undefined) return { ...described, at: 'upload' }
  const base64 = Buffer.from(bytes).toString('base64')
  if (base64.length <= INLINE_BYTES_MAX) return { ...described, at: 'inline', base64 }
  throw new EdgeError(
    'peer_failed',
    `Cannot upload ${bytes.byteLength} bytes: it takes HTTP to the registry, and: ${problem}`,
  )
}

/** Undefined: the registry has it. */
async function tryToBring(
  bytes: Uint8Array<ArrayBuffer>,
  { rid, bring, clock, signal }: { rid: string; bring: Bring; clock: Clock; signal: AbortSignal },
): Promise<string | undefined> {
  let problem = ''
  for (const waitMs of WAITS_MS) {
    await clock.sleep(waitMs, signal)
    signal.throwIfAborted()
    try {
      await bring(rid, bytes, signal)
      return undefined
    } catch (error) {
      signal.throwIfAborted()
      problem = messageOf(error)
      if (error instanceof EdgeError && error.code === 'unsupported') return problem
    }
  }
  return problem
}
