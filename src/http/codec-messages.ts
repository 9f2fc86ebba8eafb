import type { Tensor } from '../runtime/backend.ts'
import type { AnswerParts, WorkName } from './codec-work.ts'

/** What goes to a codec thread and comes back; buffers in either are transferred, not copied. */
export interface CodecOrder {
  readonly work: WorkName
  readonly input: unknown
}

export type CodecReply =
  | { readonly result: unknown }
  /** The world refuses: an EdgeError, whose class does not survive the way. */
  | { readonly refused: { readonly code: string; readonly message: string } }
  | { readonly failed: string }

/** A tensor that lies where it is: the asking thread keeps it there until it has its answer. */
export interface PlacedTensor extends Omit<Tensor, 'bytes'> {
  readonly address: number
  readonly byteLength: number
}

export interface PlacedAnswer extends Omit<AnswerParts, 'outputs'> {
  readonly outputs: readonly (Tensor | PlacedTensor)[]
}
