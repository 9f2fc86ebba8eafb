import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ago, dateTime } from '../format.ts'
import { now } from '../now.ts'
import type { Resource } from '../resource.ts'
import { hasMoved } from '../router.tsx'

/** The head of a page. Its heading takes the focus when one comes from another page, so that a reader begins there. */
export function PageHead(props: {
  readonly title: string
  readonly note?: ComponentChildren
  readonly children?: ComponentChildren
}) {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    document.title = `${props.title} · Limpet`
    if (!hasMoved()) return
    heading.current?.focus({ preventScroll: true })
    scrollTo(0, 0)
  }, [props.title])
  return (
    <header class="page-head">
      <div>
        <h1 ref={heading} tabIndex={-1}>
          {props.title}
        </h1>
        {props.note === undefined ? null : <p class="note">{props.note}</p>}
      </div>
      {props.children === undefined ? null : <div class="actions">{props.children}</div>}
    </header>
  )
}

export function Panel(props: {
  readonly title: string
  readonly note?: ComponentChildren
  readonly class?: string
  readonly children: ComponentChildren
}) {
  return (
    <section class={`panel ${props.class ?? ''}`} aria-label={props.title}>
      <div class="panel-head">
        <h2>{props.title}</h2>
        {props.note === undefined ? null : <p class="note">{props.note}</p>}
      </div>
      {props.children}
    </section>
  )
}

export function Empty({ children }: { readonly children: ComponentChildren }) {
  return <p class="empty">{children}</p>
}

/** What was read, or why it was not, or that it is on its way. */
export function Loaded<T>(props: {
  readonly from: Resource<T>
  readonly children: (value: T) => ComponentChildren
}) {
  const { value, error } = props.from
  return (
    <>
      {error === undefined ? null : <Problem>{error}</Problem>}
      {value !== undefined ? props.children(value) : error === undefined ? <Skeleton /> : null}
    </>
  )
}

export function Problem({ children }: { readonly children: ComponentChildren }) {
  return (
    <p class="problem" role="alert">
      {children}
    </p>
  )
}

function Skeleton() {
  return (
    <div class="skeleton" role="status">
      <span class="hidden">Reading…</span>
    </div>
  )
}

const AGAIN_MS = 10_000

/** How long ago that was, kept up to date; the time itself where the pointer rests. */
export function Ago({ time }: { readonly time: string | null }) {
  const [nowMs, setNowMs] = useState(now)
  useEffect(() => {
    const timer = setInterval(() => setNowMs(now()), AGAIN_MS)
    return () => clearInterval(timer)
  }, [])
  if (time === null) return <span class="soft">never</span>
  return (
    <time dateTime={time} title={dateTime(time)}>
      {ago(time, nowMs)}
    </time>
  )
}
