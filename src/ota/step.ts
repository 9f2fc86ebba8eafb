import { EdgeError, ERROR_CODES, messageOf } from '../kit/errors.ts'
import { TrustRefusal } from '../trust/refusal.ts'
import type { Outcome, Working } from './machine.ts'
import type { Update } from './update.ts'

/** What a step came to. Only what went the usual way needs no reason. */
export type StepResult =
  | { readonly outcome: 'ok'; readonly code?: string; readonly reason?: string }
  | {
      readonly outcome: Exclude<Outcome, 'ok'>
      /** For programs: one word for one cause. */
      readonly code: string
      /** For people. */
      readonly reason: string
      readonly quarantine?: boolean
    }

export interface Job {
  readonly update: Update
  /** Fires when the step is to come to an end: superseded, stopping, or no progress for too long. */
  readonly signal: AbortSignal
  /** Tells that it goes on, and how far it is, 0 to 100; or what it waits for. */
  progress(percent: number | undefined, waitsFor?: string): void
}

/** Does the work of one state. May be cut off anywhere, and run again. */
export type Step = (job: Job) => Promise<StepResult>

export type Steps = Readonly<Record<Working, Step>>

export const OK: StepResult = { outcome: 'ok' }

export function rejected(code: string, reason: string): StepResult {
  return { outcome: 'rejected', code, reason }
}

export function failed(code: string, reason: string): StepResult {
  return { outcome: 'failed', code, reason }
}

/** Of a version that has shown that it is not fit to serve here. */
export function unfit(code: string, reason: string): StepResult {
  return { outcome: 'rejected', code, reason, quarantine: true }
}

/**
 * What was thrown, as a result: what may go well another time has failed, what never will is rejected. Undefined for
 * what is no refusal of the world but a fault of ours.
 */
export function resultOf(error: unknown): StepResult | undefined {
  if (error instanceof TrustRefusal) return rejected(error.reason, error.message)
  if (error instanceof EdgeError) {
    const { code, message } = error
    // A disk that is full now may be cleared; what was brought stays.
    return ERROR_CODES[code].retry || code === 'storage_full'
      ? failed(code, message)
      : rejected(code, message)
  }
  return isSystemError(error) ? failed('storage_failed', messageOf(error)) : undefined
}

/** Of Node: it carries the name of what the system said, like ENOSPC. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && 'code' in error
}
