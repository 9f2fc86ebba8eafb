import type { Clock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'

export type LiveKind = 'device' | 'assignment' | 'model' | 'rollout' | 'alert' | 'command' | 'audit' | 'key'

/** Something has changed. What it is now is for the API to say, to those who may know. */
export interface LiveChange {
  readonly kind: LiveKind
  readonly id: string
}

/** What has changed since the last time, by kind; null: more than are worth naming, so look at all of them. */
export type LiveNews = ReadonlyMap<LiveKind, readonly string[] | null>

/** Between two times that listeners are told: what comes meanwhile is told together, and each id once. */
const FLUSH_MS = 500
/** A listener that has nothing to be told hears so after as many times: 10 s. */
const QUIET_FLUSHES_MAX = 20
const IDS_MAX = 100
const LISTENERS_MAX = 64

/** Tells whoever watches that something has changed. However much changes, what is kept for a listener is bounded. */
export class LiveFeed {
  readonly #listeners = new Set<LiveListener>()

  publish(change: LiveChange): void {
    for (const listener of this.#listeners) listener.note(change)
  }

  listen(): LiveListener {
    if (this.#listeners.size >= LISTENERS_MAX) {
      throw new EdgeError('queue_full', `Cannot listen: ${LISTENERS_MAX} do, at most ${LISTENERS_MAX}`)
    }
    const listener = new LiveListener(() => this.#listeners.delete(listener))
    this.#listeners.add(listener)
    return listener
  }

  get listeners(): number {
    return this.#listeners.size
  }

  async run({ clock, stop }: { clock: Clock; stop: AbortSignal }): Promise<void> {
    while (!stop.aborted) {
      await clock.sleep(FLUSH_MS, stop)
      this.flush()
    }
    for (const listener of this.#listeners) listener.close()
  }

  flush(): void {
    for (const listener of this.#listeners) listener.flush()
  }
}

export class LiveListener {
  readonly #onClosed: () => void
  #news = new Map<LiveKind, Set<string> | null>()
  #waiting: ((news: LiveNews | undefined) => void) | undefined
  #quietFlushes = 0
  #isClosed = false

  constructor(onClosed: () => void) {
    this.#onClosed = onClosed
  }

  note({ kind, id }: LiveChange): void {
    const ids = this.#news.get(kind)
    if (ids === null) return
    if (ids === undefined) this.#news.set(kind, new Set([id]))
    else if (ids.has(id) || ids.size < IDS_MAX) ids.add(id)
    else this.#news.set(kind, null)
  }

  /** Resolves with what has changed; with nothing in it as a sign of life; with undefined when it is over. */
  next(): Promise<LiveNews | undefined> {
    if (this.#isClosed) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  /** Who is slow to ask again is told more at once, not more often. */
  flush(): void {
    this.#quietFlushes += 1
    if (this.#waiting === undefined) return
    if (this.#news.size === 0 && this.#quietFlushes < QUIET_FLUSHES_MAX) return
    const news = new Map([...this.#news].map(([kind, ids]) => [kind, ids === null ? null : [...ids]]))
    this.#news = new Map()
    this.#quietFlushes = 0
    this.#answer(news)
  }

  close(): void {
    this.#isClosed = true
    this.#onClosed()
    this.#answer(undefined)
  }

  #answer(news: LiveNews | undefined): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.(news)
  }
}
