import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { useClient } from './client.ts'
import type { Kind, News } from './live-line.ts'

export interface Resource<T> {
  /** The last that was read; undefined before that. */
  readonly value: T | undefined
  /** Why it could not be read just now. */
  readonly error: string | undefined
  readonly reload: () => void
}

export interface Watch {
  readonly kinds?: readonly Kind[]
  /** Changes of others are not ours. */
  readonly id?: string | undefined
}

/** However fast things change, it is read again only so often. */
const AGAIN_MS = 1000

/** What the registry answers at the path, read again when it says that something of it has changed. */
export function useResource<T>(path: string | undefined, watch: Watch = {}): Resource<T> {
  const client = useClient()
  const [state, setState] = useState<{ value?: T; error?: string }>({})
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const wanted = useRef(path)
  wanted.current = path

  const reload = useCallback(() => {
    if (path === undefined) return
    const isStill = () => wanted.current === path
    client.get<T>(path).then(
      (value) => isStill() && setState({ value }),
      (error: Error) => isStill() && setState((before) => ({ ...before, error: error.message })),
    )
  }, [client, path])

  useEffect(() => {
    reload()
    const again = () => {
      timer.current ??= setTimeout(() => {
        timer.current = undefined
        // Nobody looks: it is read when somebody does.
        if (!document.hidden) reload()
      }, AGAIN_MS)
    }
    const stopListening = client.live.listen((news) => isOurs(news, watch) && again())
    // What changed while the line was down was not heard.
    const stopWatching = client.live.watch((isUp) => isUp && again())
    document.addEventListener('visibilitychange', again)
    return () => {
      stopListening()
      stopWatching()
      document.removeEventListener('visibilitychange', again)
      clearTimeout(timer.current)
      timer.current = undefined
    }
  }, [client, reload, watch.kinds?.join(), watch.id])

  return { value: state.value, error: state.error, reload }
}

function isOurs({ kind, ids }: News, watch: Watch): boolean {
  if (watch.kinds === undefined || !watch.kinds.includes(kind)) return false
  return watch.id === undefined || ids === null || ids.includes(watch.id)
}
