import type { Working } from './machine.ts'
import type { Update } from './update.ts'

/**
 * Updates of several models do not wait for each other's windows, but they share one line and one serving process: one
 * at a time is brought here, one at a time is on trial (a crash has one suspect). Higher priorities go first, equal ones
 * in the order in which they came.
 */
type Kind = 'bring' | 'trial' | 'none'

const KIND: Record<Working, Kind> = {
  resolve: 'bring',
  plan: 'bring',
  download: 'bring',
  verify: 'bring',
  stage: 'bring',
  probe: 'bring',
  wait: 'none',
  activate: 'trial',
  observe: 'trial',
  commit: 'trial',
  revert: 'trial',
}

export interface Turn {
  readonly kind: Kind
  release(): void
}

interface Waiting {
  readonly priority: number
  readonly go: () => void
}

export class Turns {
  readonly #taken = new Set<Kind>()
  readonly #waiting: Record<Kind, Waiting[]> = { bring: [], trial: [], none: [] }

  isTaken(kind: Kind): boolean {
    return this.#taken.has(kind)
  }

  /** The turn that the update's state asks for; undefined where it needs none, or a signal came first. */
  async change(
    held: Turn | undefined,
    update: Update,
    signals: readonly AbortSignal[],
  ): Promise<Turn | undefined> {
    const kind = KIND[update.state as Working]
    if (held?.kind === kind) return held
    held?.release()
    if (kind === 'none') return undefined
    if (this.#taken.has(kind)) {
      if (!(await this.#wait(kind, update.priority, AbortSignal.any([...signals])))) return undefined
    }
    this.#taken.add(kind)
    return { kind, release: once(() => this.#pass(kind)) }
  }

  /** True when it is this one's turn, false when the signal came first. */
  #wait(kind: Kind, priority: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false)
    return new Promise((resolve) => {
      const queue = this.#waiting[kind]
      const leave = () => {
        queue.splice(queue.indexOf(entry), 1)
        resolve(false)
      }
      const go = () => {
        signal.removeEventListener('abort', leave)
        resolve(true)
      }
      const entry = { priority, go }
      const at = queue.findIndex((other) => other.priority < priority)
      queue.splice(at < 0 ? queue.length : at, 0, entry)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  #pass(kind: Kind): void {
    const next = this.#waiting[kind].shift()
    // Handed over without being free in between: nobody can overtake.
    if (next === undefined) this.#taken.delete(kind)
    else next.go()
  }
}

function once(work: () => void): () => void {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    work()
  }
}
