import { EdgeError } from '../kit/errors.ts'
import type { Shown, Tally } from './guard.ts'
import type { Journal } from './journal.ts'
import { servedName } from './package.ts'
import type { Parts } from './parts.ts'
import type { Measured, Package } from './ports.ts'
import type { Job } from './step.ts'

const REPLAY_MS = 60_000

/**
 * What a version on trial shows, look by look. The time counts from the start of this process: a trial that was cut off
 * begins again, and the starts are counted elsewhere.
 */
export class Trial {
  readonly #parts: Parts
  readonly #job: Job
  readonly #package: Package | undefined
  readonly #before: Measured | undefined
  readonly #beganMs: number
  #answeredMs: number
  #replayedMs = Number.NEGATIVE_INFINITY
  /** Over those starts of the serving process that have ended. */
  #earlier = { requests: 0, errors: 0, notFinite: 0 }
  #latest: Measured | undefined
  #crashes = 0
  #replayed: Tally['replayed'] = { samples: 0, wrong: 0, reason: '' }

  constructor(parts: Parts, job: Job, wanted: Package | undefined) {
    this.#parts = parts
    this.#job = job
    this.#package = wanted
    this.#before = readBefore(parts.journal, job.update.id)
    this.#beganMs = parts.clock.elapsed()
    this.#answeredMs = this.#beganMs
  }

  async look(): Promise<Shown> {
    const { clock, serve } = this.#parts
    const { update, signal } = this.#job
    const measured = await serve.measure(servedName(update.model), update.version, signal)
    if (measured !== undefined) {
      this.#take(measured)
      await this.#replay()
    }
    return {
      before: this.#before,
      now: this.#tally(),
      elapsedSeconds: (clock.elapsed() - this.#beganMs) / 1000,
      silentSeconds: measured === undefined ? (clock.elapsed() - this.#answeredMs) / 1000 : 0,
    }
  }

  #take(measured: Measured): void {
    this.#answeredMs = this.#parts.clock.elapsed()
    const last = this.#latest
    if (last !== undefined && last.start !== measured.start) {
      this.#crashes += 1
      const { requests, errors, notFinite } = this.#earlier
      this.#earlier = {
        requests: requests + last.requests,
        errors: errors + last.errors,
        notFinite: notFinite + last.notFinite,
      }
    }
    this.#latest = measured
  }

  /** Golden samples are traffic too, where there is no other. */
  async #replay(): Promise<void> {
    const { clock, serve } = this.#parts
    const wanted = this.#package
    if (wanted?.golden === undefined || clock.elapsed() - this.#replayedMs < REPLAY_MS) return
    this.#replayedMs = clock.elapsed()
    try {
      const { samples, wrong, reason } = await serve.replay(wanted, wanted.golden, this.#job.signal)
      const before = this.#replayed
      this.#replayed = {
        samples: before.samples + samples,
        wrong: before.wrong + wrong,
        reason: reason === '' ? before.reason : reason,
      }
    } catch (error) {
      // Not answered at all: whether that is the version's fault shows in what is measured.
      if (!(error instanceof EdgeError) || error.code !== 'peer_failed') throw error
    }
  }

  #tally(): Tally {
    const { requests = 0, errors = 0, notFinite = 0, latency = [] } = this.#latest ?? {}
    return {
      requests: this.#earlier.requests + requests,
      errors: this.#earlier.errors + errors,
      notFinite: this.#earlier.notFinite + notFinite,
      crashes: this.#crashes,
      latency,
      replayed: this.#replayed,
    }
  }
}

/** What the version before has shown: a restart of the agent must not make the trial forget it. */
export function noteBefore(journal: Journal, id: number, before: Measured | undefined): void {
  journal.setNote(noteOf(id), before ?? null)
}

function readBefore(journal: Journal, id: number): Measured | undefined {
  return (journal.note(noteOf(id)) as Measured | null | undefined) ?? undefined
}

function noteOf(id: number): string {
  return `before/${id}`
}

/** What only a working update has to remember. */
export function forgetNotes(journal: Journal, { id, manifest }: { id: number; manifest: string }): void {
  for (const note of [noteOf(id), `damaged/${id}`, `probe/${manifest}`, `approved/${manifest}`]) {
    if (journal.note(note) !== undefined) journal.setNote(note, undefined)
  }
}
