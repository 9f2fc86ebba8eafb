import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'

const MOVED = 'limpet-moved'

/** Where the page is: path and question. */
export interface Place {
  readonly path: string
  readonly query: URLSearchParams
}

function here(): Place {
  return { path: location.pathname, query: new URLSearchParams(location.search) }
}

export function usePlace(): Place {
  const [place, setPlace] = useState(here)
  useEffect(() => {
    const look = () => setPlace(here())
    addEventListener('popstate', look)
    addEventListener(MOVED, look)
    return () => {
      removeEventListener('popstate', look)
      removeEventListener(MOVED, look)
    }
  }, [])
  return place
}

/** Whether one came here from another page of the console, and not from outside. */
export function hasMoved(): boolean {
  return history.state === MOVED
}

export function go(href: string, how: { readonly instead?: boolean } = {}): void {
  if (how.instead === true) history.replaceState(MOVED, '', href)
  else history.pushState(MOVED, '', href)
  dispatchEvent(new Event(MOVED))
}

export function Link(props: {
  readonly href: string
  readonly class?: string
  readonly current?: boolean
  readonly children: ComponentChildren
}) {
  const follow = (event: MouseEvent) => {
    // With a key held down the browser knows better: another tab, another window.
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0) return
    event.preventDefault()
    go(props.href)
  }
  return (
    <a
      href={props.href}
      class={props.class}
      onClick={follow}
      aria-current={props.current === true ? 'page' : undefined}
    >
      {props.children}
    </a>
  )
}
