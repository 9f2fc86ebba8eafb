import { createHash } from 'node:crypto'
import type { Clock } from '../../kit/clock.ts'
import { EdgeError, messageOf } from '../../kit/errors.ts'
import { logger } from '../../kit/log.ts'
import { completeAssigned } from '../../ota/assigned.ts'
import type { Journal } from '../../ota/journal.ts'
import type { Updates } from '../../ota/updates.ts'
import { ASSIGNMENT_BYTES_MAX, verifyAssignment } from '../../trust/assignment.ts'
import { TrustRefusal } from '../../trust/refusal.ts'
import type { TrustView } from '../../trust/view.ts'

const ENVELOPE_BYTES_MAX = 2 * ASSIGNMENT_BYTES_MAX
/** After something went wrong on the way; then twice that, up to the usual time between two looks. */
const AGAIN_MS = 2_000

export interface AssignmentParts {
  readonly device: string
  readonly clock: Clock
  readonly journal: Journal
  readonly updates: Updates
  readonly refresh: (signal: AbortSignal) => Promise<TrustView>
  readonly fetchAssignment: (bytesMax: number, signal: AbortSignal) => Promise<Uint8Array | undefined>
  readonly onTaken: (rev: number) => void
  readonly everyMs: number
}

/** Finds out what this device should run: at the start, when it is told to look, and every so often. */
export class Assignments {
  readonly #parts: AssignmentParts
  #woken = new AbortController()
  /** The refusal that was told last: the same one is told once. */
  #told = ''
  view: TrustView | undefined

  constructor(parts: AssignmentParts) {
    this.#parts = parts
  }

  /** Something may be new. Nothing that says so is trusted. */
  wake(): void {
    this.#woken.abort()
  }

  async run(stop: AbortSignal): Promise<void> {
    const { clock, everyMs } = this.#parts
    let failures = 0
    while (!stop.aborted) {
      this.#woken = new AbortController()
      failures = (await this.#look(stop)) ? 0 : failures + 1
      const waitMs = failures === 0 ? everyMs : Math.min(everyMs, AGAIN_MS * 2 ** Math.min(failures - 1, 20))
      await clock.sleep(waitMs, AbortSignal.any([this.#woken.signal, stop]))
    }
  }

  /** True when it is known what is assigned. */
  async #look(stop: AbortSignal): Promise<boolean> {
    try {
      this.view = await this.#parts.refresh(stop)
      await this.#take(this.view, stop)
      this.#told = ''
      return true
    } catch (error) {
      if (stop.aborted) return false
      if (error instanceof TrustRefusal) this.#refuse(error)
      else if (error instanceof EdgeError)
        logger('ota').debug('ota.registry_silent', { reason: messageOf(error) })
      else throw error
      return false
    }
  }

  async #take(view: TrustView, stop: AbortSignal): Promise<void> {
    const { journal, updates, device, fetchAssignment, onTaken } = this.#parts
    const envelope = await fetchAssignment(ENVELOPE_BYTES_MAX, stop)
    if (envelope === undefined) return
    const sha256 = createHash('sha256').update(envelope).digest('hex')
    if (journal.assignment?.envelope === sha256) return
    const lastRev = journal.assignment?.rev ?? 0
    const { rev, models, keep } = verifyAssignment(envelope, {
      device,
      directorKeys: view.directorKeys,
      lastRev,
    })
    const complete = models.map((signed) => completeAssigned(signed, rev))
    updates.assign({ rev, models: complete, keep, envelope: sha256 })
    logger('ota').info('ota.assigned', {
      rev,
      models: models.map(({ model, version }) => `${model}@${version}`),
    })
    onTaken(rev)
  }

  #refuse({ reason, message }: TrustRefusal): void {
    if (this.#told === message) return
    this.#told = message
    logger('ota').warn('ota.refused', { code: reason, reason: message })
    this.#parts.journal.tell({
      rev: this.#parts.journal.assignment?.rev ?? 0,
      model: '',
      version: '',
      manifest: '',
      from: 'assigned',
      to: 'rejected',
      attempt: 1,
      code: reason,
      reason: message,
    })
  }
}
