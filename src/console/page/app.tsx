import type { ComponentChildren } from 'preact'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { AnnounceContext, Client, ClientContext } from './client.ts'
import { type Entry, Frame } from './parts/frame.tsx'
import { Empty, PageHead, Problem } from './parts/page.tsx'
import { usePlace } from './router.tsx'
import { AccessView } from './views/access.tsx'
import { AlertsView } from './views/alerts.tsx'
import { AuditView } from './views/audit.tsx'
import { DeviceView } from './views/device.tsx'
import { FleetView } from './views/fleet.tsx'
import { LoginView } from './views/login.tsx'
import { ModelView } from './views/model.tsx'
import { ModelsView } from './views/models.tsx'
import { RolloutView } from './views/rollout.tsx'
import { RolloutsView } from './views/rollouts.tsx'

const ENTRIES: readonly Entry[] = [
  { href: '/', label: 'Fleet', icon: 'M3 4h6v5H3zM11 4h6v5h-6zM3 11h6v5H3zM11 11h6v5h-6z' },
  { href: '/alerts', label: 'Alerts', icon: 'M10 3 18 17H2zM10 8v4M10 14v1' },
  { href: '/models', label: 'Models', icon: 'M10 2.500 17 6v8l-7 3.500L3 14V6zM3 6l7 3.500L17 6M10 9.500v8' },
  {
    href: '/rollouts',
    label: 'Rollouts',
    icon: 'M2 13c3 0 3-3 6-3s3 3 6 3 2-1 4-1M2 8c3 0 3-3 6-3s3 3 6 3 2-1 4-1',
  },
  { href: '/audit', label: 'Audit', icon: 'M5 3h10v14H5zM8 7h4M8 10h4M8 13h2' },
  {
    href: '/access',
    label: 'Access',
    icon: 'M7 13a3.500 3.500 0 1 1 3-5.300h7v3h-2v2h-3v-2h-2A3.500 3.500 0 0 1 7 13Z',
  },
]

/** Which page an address means; each takes what the parentheses catch. */
const PAGES: readonly [path: RegExp, page: (caught: readonly string[]) => ComponentChildren][] = [
  [/^\/$/, () => <FleetView />],
  [/^\/devices\/([^/]+)$/, ([id = '']) => <DeviceView key={id} id={id} />],
  [/^\/alerts$/, () => <AlertsView />],
  [/^\/models$/, () => <ModelsView />],
  [/^\/models\/([^/]+\/[^/]+)$/, ([model = '']) => <ModelView key={model} name={model} />],
  [/^\/rollouts$/, () => <RolloutsView />],
  [/^\/rollouts\/([^/]+)$/, ([id = '']) => <RolloutView key={id} id={id} />],
  [/^\/audit$/, () => <AuditView />],
  [/^\/access$/, () => <AccessView />],
]

export function Console() {
  const client = useMemo(() => new Client(), [])
  const [said, setSaid] = useState('')
  return (
    <ClientContext.Provider value={client}>
      <AnnounceContext.Provider value={setSaid}>
        <Doorway client={client} />
        <div class="hidden" role="status">
          {said}
        </div>
      </AnnounceContext.Provider>
    </ClientContext.Provider>
  )
}

/** Whoever is not logged in sees the login, at whatever address, and after it what was asked for. */
function Doorway({ client }: { readonly client: Client }) {
  const [state, setState] = useState<'asking' | 'in' | 'out' | { readonly problem: string }>('asking')
  useEffect(() => {
    client.onOut = () => setState('out')
    client.resume().then(
      (session) => setState(session === undefined ? 'out' : 'in'),
      (error: Error) => setState({ problem: error.message }),
    )
  }, [client])
  if (state === 'asking') return null
  if (state === 'out') return <LoginView onIn={() => setState('in')} />
  if (state === 'in') return <Pages />
  return <Problem>{state.problem}</Problem>
}

function Pages() {
  const { path } = usePlace()
  return (
    <Frame entries={ENTRIES} path={path}>
      {pageAt(path)}
    </Frame>
  )
}

function pageAt(path: string): ComponentChildren {
  for (const [pattern, page] of PAGES) {
    const caught = pattern.exec(path)
    if (caught !== null) return page(caught.slice(1).map(decodeURIComponent))
  }
  return (
    <>
      <PageHead title="Not here" />
      <Empty>There is no such page.</Empty>
    </>
  )
}
