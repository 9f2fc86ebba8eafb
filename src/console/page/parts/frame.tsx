import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { useClient } from '../client.ts'
import { go, Link } from '../router.tsx'
import { Mark } from './status.tsx'

export function Logo() {
  return (
    <span class="logo">
      <svg viewBox="0 0 32 32" aria-hidden="true">
        <path d="M16 5C9 11 4.500 18 3.500 25h25C27.500 18 23 11 16 5Z" class="shell" />
        <path d="M16 5v20M16 5c-4 6-7 13-7.500 20M16 5c4 6 7 13 7.500 20" class="ridge" />
      </svg>
      Limpet
    </span>
  )
}

export interface Entry {
  readonly href: string
  readonly label: string
  readonly icon: string
}

/** What is around every page: where else one can go, whether the page is live, who is logged in. */
export function Frame(props: {
  readonly entries: readonly Entry[]
  readonly path: string
  readonly children: ComponentChildren
}) {
  return (
    <div class="frame">
      <a class="skip" href="#content">
        Skip to the page
      </a>
      <header class="bar">
        <Link href="/" class="home">
          <Logo />
        </Link>
        <nav aria-label="Pages">
          {props.entries.map(({ href, label, icon }) => (
            <Link key={href} href={href} current={isWithin(props.path, href)}>
              <svg viewBox="0 0 20 20" aria-hidden="true">
                <path d={icon} />
              </svg>
              <span>{label}</span>
            </Link>
          ))}
        </nav>
        <Account />
      </header>
      <main id="content">{props.children}</main>
    </div>
  )
}

function isWithin(path: string, href: string): boolean {
  return href === '/' ? path === '/' || path.startsWith('/devices') : path.startsWith(href)
}

function Account() {
  const client = useClient()
  // Undefined until the line is up for the first time, or cannot be had.
  const [isUp, setUp] = useState<boolean | undefined>(client.live.isUp ? true : undefined)
  useEffect(() => {
    // It may have come up since this was drawn.
    if (client.live.isUp) setUp(true)
    return client.live.watch(setUp)
  }, [client])
  const session = client.session
  return (
    <div class="account">
      <span class="live" role="status">
        <Mark tone={isUp === undefined ? 'quiet' : isUp ? 'good' : 'warning'} />
        {isUp === undefined ? 'connecting' : isUp ? 'live' : 'not live'}
      </span>
      <span class="who">
        {session?.name} <span class="soft">{session?.role}</span>
      </span>
      <button type="button" class="plain" onClick={() => void client.logout().then(() => go('/'))}>
        Log out
      </button>
    </div>
  )
}
