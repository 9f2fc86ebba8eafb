/** What may change, as the registry names it. */
export type Kind = 'device' | 'assignment' | 'model' | 'rollout' | 'alert' | 'command' | 'audit' | 'key'

export interface News {
  readonly kind: Kind
  /** Null: more than it would name. */
  readonly ids: readonly string[] | null
}

type Listener = (news: News) => void

const AGAIN_MS = 5000

/** Hears from the registry what has changed. */
export class LiveLine {
  readonly #listeners = new Set<Listener>()
  readonly #watchers = new Set<(isUp: boolean) => void>()
  /** The registry does not let it listen: its session may be over, or too many listen. */
  onRefused: () => void = () => undefined
  #source: EventSource | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #isUp = false

  get isUp(): boolean {
    return this.#isUp
  }

  open(): void {
    this.close()
    const source = new EventSource('/v1/live')
    source.onopen = () => this.#setUp(true)
    source.onerror = () => {
      this.#setUp(false)
      // What broke off the browser takes up again by itself; what was refused it does not.
      if (source.readyState === EventSource.CLOSED) this.#timer = setTimeout(() => this.onRefused(), AGAIN_MS)
    }
    source.onmessage = (message: MessageEvent<string>) => {
      const news = JSON.parse(message.data) as News
      for (const listener of this.#listeners) listener(news)
    }
    this.#source = source
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#source?.close()
    this.#source = undefined
    this.#isUp = false
  }

  /** Until what it gives is called. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  watch(watcher: (isUp: boolean) => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  #setUp(isUp: boolean): void {
    this.#isUp = isUp
    for (const watcher of this.#watchers) watcher(isUp)
  }
}
