import { count, plural } from '../format.ts'
import { type Alert, AlertList } from '../parts/alert-list.tsx'
import { Empty, Loaded, Panel } from '../parts/page.tsx'
import { livenessTone, Status, stateTone } from '../parts/status.tsx'
import { useResource } from '../resource.ts'
import { Link } from '../router.tsx'

interface Overview {
  readonly devices: {
    readonly total: number
    readonly alive: number
    readonly warning: number
    readonly offline: number
  }
  readonly models: readonly {
    readonly model: string
    readonly devices: number
    readonly versions: readonly { readonly version: string; readonly devices: number }[]
  }[]
  readonly alerts: {
    readonly warning: number
    readonly critical: number
    readonly newest: readonly Alert[]
  }
  readonly rollouts: readonly {
    readonly id: string
    readonly model: string
    readonly version: string
    readonly state: string
  }[]
}

/** The fleet at a glance. */
export function Summary() {
  const overview = useResource<Overview>('/v1/overview', { kinds: ['device', 'alert', 'rollout'] })
  return (
    <Loaded from={overview}>
      {(seen) => (
        <>
          <Liveness devices={seen.devices} />
          <div class="columns">
            <Versions models={seen.models} />
            <div class="stack">
              {seen.rollouts.length > 0 ? <Rollouts rollouts={seen.rollouts} /> : null}
              <Alerts alerts={seen.alerts} />
            </div>
          </div>
        </>
      )}
    </Loaded>
  )
}

const KINDS = ['alive', 'warning', 'offline'] as const

function Liveness({ devices }: { readonly devices: Overview['devices'] }) {
  return (
    <section class="tide" aria-label="Liveness">
      <ul class="tide-counts">
        {KINDS.map((kind) => (
          <li key={kind}>
            <Link href={`/?liveness=${kind}`}>
              <b>{count(devices[kind])}</b>
              <Status tone={livenessTone(kind)}>{kind}</Status>
            </Link>
          </li>
        ))}
        <li class="tide-total">
          <b>{count(devices.total)}</b> <span>{devices.total === 1 ? 'device' : 'devices'}</span>
        </li>
      </ul>
      <Shares
        shares={KINDS.map((kind) => ({
          name: kind,
          amount: devices[kind],
          class: `fill-${livenessTone(kind)}`,
        }))}
      />
    </section>
  )
}

/** A bar of shares, for the eye alone: the figures stand beside it. */
function Shares({ shares }: { readonly shares: readonly { name: string; amount: number; class: string }[] }) {
  return (
    <svg class="shares" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
      {placed(shares).map(({ name, from, width, class: fill }) => (
        <rect key={name} x={from} width={width} height="4" class={fill} />
      ))}
    </svg>
  )
}

function placed(shares: readonly { name: string; amount: number; class: string }[]) {
  const total = shares.reduce((sum, { amount }) => sum + amount, 0) || 1
  let from = 0
  return shares.map((share) => {
    const width = (share.amount / total) * 100
    from += width
    return { ...share, from: from - width, width }
  })
}

function Versions({ models }: { readonly models: Overview['models'] }) {
  return (
    <Panel title="Versions running">
      {models.length === 0 ? <Empty>Nothing has been reported yet.</Empty> : null}
      <ul class="versions">
        {models.map(({ model, devices, versions }) => (
          <li key={model}>
            <div class="line">
              <Link href={`/models/${model}`} class="strong">
                {model}
              </Link>
              <span class="note">{plural(devices, 'device')}</span>
            </div>
            <Shares
              shares={versions.map(({ version, devices: amount }, index) => ({
                name: version,
                amount,
                class: `fill-version-${Math.min(index, 4) + 1}`,
              }))}
            />
            <p class="legend-line">
              {versions.map(({ version, devices: amount }, index) => (
                <span key={version}>
                  <span class={`swatch fill-version-${Math.min(index, 4) + 1}`} />
                  {version} <b>{count(amount)}</b>
                </span>
              ))}
            </p>
          </li>
        ))}
      </ul>
    </Panel>
  )
}

function Alerts({ alerts }: { readonly alerts: Overview['alerts'] }) {
  const total = alerts.warning + alerts.critical
  return (
    <Panel
      title="Alerts"
      note={
        total === 0 ? undefined : `${count(alerts.critical)} critical, ${plural(alerts.warning, 'warning')}`
      }
    >
      {total === 0 ? <Empty>All is calm.</Empty> : null}
      <AlertList alerts={alerts.newest} />
      {total > alerts.newest.length ? (
        <p class="note">
          <Link href="/alerts">All alerts</Link>
        </p>
      ) : null}
    </Panel>
  )
}

function Rollouts({ rollouts }: { readonly rollouts: Overview['rollouts'] }) {
  return (
    <Panel title="Rollouts under way">
      <ul class="plain-list">
        {rollouts.map(({ id, model, version, state }) => (
          <li key={id} class="line">
            <Link href={`/rollouts/${id}`} class="strong">
              {model} {version}
            </Link>
            <Status tone={stateTone(state)}>{state}</Status>
          </li>
        ))}
      </ul>
    </Panel>
  )
}
