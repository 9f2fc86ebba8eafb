import { EdgeError } from '../kit/errors.ts'
import { encodeBitmap } from './bitmap.ts'
import type { Exchange, Question } from './exchange.ts'
import type { OpenLine } from './line.ts'
import { Parts } from './parts.ts'

/** Parts that are asked for at once: under a megabyte, so that no broker's queue is in the way. */
const WINDOW_PARTS = 16
/** Answers in a row that bring nothing new. */
const IDLE_MAX = 4

/** What to ask for; which parts of it is added. */
export type BlobQuestion =
  | { readonly op: 'meta'; readonly name: string }
  | { readonly op: 'object'; readonly sha256: string }
  | { readonly op: 'assignment' }

export interface BlobOptions {
  readonly exchange: Exchange
  readonly line: OpenLine
  readonly frameBytes: number
  readonly bytesMax: number
  readonly signal: AbortSignal
}

/** One thing as a whole, in as many answers as it takes; undefined: the registry does not have it. */
export async function fetchBlob(what: BlobQuestion, options: BlobOptions): Promise<Uint8Array | undefined> {
  let parts: Parts | undefined
  let isMissing = false
  for (let idle = 0; idle < IDLE_MAX; idle += 1) {
    const wanted = parts?.missing.slice(0, WINDOW_PARTS) ?? [...Array(WINDOW_PARTS).keys()]
    await options.exchange.ask(question(what, wanted, options.frameBytes), {
      ...options,
      take: (frame) => {
        if (frame.kind === 'missing') isMissing = true
        else {
          parts ??= new Parts(frame, options)
          if (parts.add(frame)) idle = -1
        }
        return isMissing || wanted.every((part) => parts?.has(part) ?? false)
      },
    })
    if (isMissing) return undefined
    if (parts?.isWhole) return parts.join()
  }
  throw new EdgeError(
    'peer_failed',
    `Cannot fetch ${describe(what)}: ${IDLE_MAX} answers in a row brought nothing`,
  )
}

function question(what: BlobQuestion, wanted: readonly number[], frameBytes: number): Question {
  return { ...what, ...encodeBitmap(wanted), frame_bytes: frameBytes }
}

function describe(what: BlobQuestion): string {
  if (what.op === 'assignment') return 'the assignment'
  return what.op === 'meta' ? `"${what.name}"` : `the object ${what.sha256}`
}
