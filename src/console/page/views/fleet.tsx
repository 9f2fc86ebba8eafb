import { useEffect, useState } from 'preact/hooks'
import { useAnnounce, useClient } from '../client.ts'
import { count, plural } from '../format.ts'
import { Ago, Empty, Loaded, PageHead } from '../parts/page.tsx'
import { livenessTone, Status, stateTone } from '../parts/status.tsx'
import { Table } from '../parts/table.tsx'
import { useResource } from '../resource.ts'
import { go, Link, usePlace } from '../router.tsx'
import type { Device, DevicePage } from '../types.ts'
import { EnrolDialog } from './enrol.tsx'
import { Summary } from './summary.tsx'

const ROWS = 50
const TYPING_MS = 250

export function FleetView() {
  const client = useClient()
  const [isEnrolling, setEnrolling] = useState(false)
  return (
    <>
      <PageHead title="Fleet">
        {client.may('operator') ? (
          <button type="button" class="primary" onClick={() => setEnrolling(true)}>
            Enrol a device
          </button>
        ) : null}
      </PageHead>
      <Summary />
      <DeviceTable />
      {isEnrolling ? <EnrolDialog onClose={() => setEnrolling(false)} /> : null}
    </>
  )
}

/** A page of the fleet at a time: ten thousand rows nobody reads. What is asked for stands in the address. */
function DeviceTable() {
  const { query } = usePlace()
  const [before, setBefore] = useState<readonly string[]>([])
  const asked = { search: query.get('search') ?? '', liveness: query.get('liveness') ?? '' }
  const after = before.at(-1) ?? ''
  const found = useResource<DevicePage>(`/v1/devices?${questionOf({ ...asked, after })}`, {
    kinds: ['device', 'alert'],
  })
  const announce = useAnnounce()
  useEffect(() => setBefore([]), [asked.search, asked.liveness])
  const total = found.value?.total
  useEffect(() => {
    if (total !== undefined && (asked.search !== '' || asked.liveness !== '')) {
      announce(`${plural(total, 'device')} found`)
    }
  }, [total, asked.search, asked.liveness])
  return (
    <section class="panel" aria-label="Devices">
      <div class="panel-head">
        <h2>Devices</h2>
        <Filters {...asked} />
      </div>
      <Loaded from={found}>
        {(page) => <Rows page={page} isFiltered={asked.search !== '' || asked.liveness !== ''} />}
      </Loaded>
      <Pager
        shown={found.value?.devices.length ?? 0}
        first={before.length * ROWS + 1}
        total={total ?? 0}
        onBack={before.length === 0 ? undefined : () => setBefore(before.slice(0, -1))}
        onOn={
          typeof found.value?.next === 'string'
            ? () => setBefore([...before, found.value?.next ?? ''])
            : undefined
        }
      />
    </section>
  )
}

function questionOf(asked: Readonly<Record<string, string>>): string {
  const given = Object.entries(asked).filter(([, value]) => value !== '')
  return new URLSearchParams([['count', String(ROWS)], ...given]).toString()
}

function Filters({ search, liveness }: { readonly search: string; readonly liveness: string }) {
  const ask = (changed: Readonly<Record<string, string>>) => {
    const wanted = Object.entries({ search, liveness, ...changed }).filter(([, value]) => value !== '')
    const query = new URLSearchParams(wanted).toString()
    go(query === '' ? '/' : `/?${query}`, { instead: true })
  }
  const [timer, setTimer] = useState<ReturnType<typeof setTimeout>>()
  const type = (text: string) => {
    clearTimeout(timer)
    setTimer(setTimeout(() => ask({ search: text.trim() }), TYPING_MS))
  }
  return (
    <search class="filters">
      <input
        type="search"
        aria-label="Search devices by name"
        placeholder="Search by name"
        defaultValue={search}
        maxLength={64}
        onInput={(event) => type(event.currentTarget.value)}
      />
      <select
        aria-label="Show devices that are"
        value={liveness}
        onChange={(event) => ask({ liveness: event.currentTarget.value })}
      >
        <option value="">All</option>
        <option value="alive">Alive</option>
        <option value="warning">With a warning</option>
        <option value="offline">Offline</option>
      </select>
    </search>
  )
}

function Rows({ page, isFiltered }: { readonly page: DevicePage; readonly isFiltered: boolean }) {
  useEffect(() => {
    // Measured by who wants to know how long the page took.
    performance.mark('fleet-shown')
  }, [])
  if (page.devices.length === 0) {
    return (
      <Empty>
        {isFiltered
          ? 'No device is like that.'
          : 'No device has enrolled yet. Make a token for one, and run “limpet enrol” there.'}
      </Empty>
    )
  }
  return (
    <Table
      caption="Devices"
      columns={['Device', 'State', 'Runs', 'Hardware', 'Last heard']}
      rows={page.devices.map((device) => ({
        key: device.id,
        cells: [
          <Link key="id" href={`/devices/${device.id}`} class="strong">
            {device.id}
          </Link>,
          <Status key="state" tone={livenessTone(livenessOf(device))}>
            {livenessOf(device)}
          </Status>,
          <Runs key="runs" device={device} />,
          device.hardware_class ?? device.state?.hardware?.names.at(-1) ?? '–',
          <Ago key="seen" time={device.seen} />,
        ],
      }))}
    />
  )
}

export function livenessOf(device: Device): string {
  return device.liveness ?? (device.online ? 'alive' : 'offline')
}

const MODELS_SHOWN = 3

function Runs({ device }: { readonly device: Device }) {
  const models = device.state?.models ?? []
  if (models.length === 0) return <span class="soft">nothing yet</span>
  return (
    <span class="runs">
      {models.slice(0, MODELS_SHOWN).map(({ model, running, update }) => (
        <span key={model} class="chip">
          {model.split('/').at(-1)} <b>{running?.version ?? '–'}</b>
          {update !== null && stateTone(update.state) === 'busy' ? <i> → {update.version}</i> : null}
        </span>
      ))}
      {models.length > MODELS_SHOWN ? (
        <span class="soft">and {models.length - MODELS_SHOWN} more</span>
      ) : null}
    </span>
  )
}

function Pager(props: {
  readonly shown: number
  readonly first: number
  readonly total: number
  readonly onBack: (() => void) | undefined
  readonly onOn: (() => void) | undefined
}) {
  if (props.shown === 0) return null
  return (
    <nav class="pager" aria-label="Pages of devices">
      <span class="note">
        {count(props.first)} to {count(props.first + props.shown - 1)} of {count(props.total)}
      </span>
      <button type="button" class="plain" disabled={props.onBack === undefined} onClick={props.onBack}>
        Back
      </button>
      <button type="button" class="plain" disabled={props.onOn === undefined} onClick={props.onOn}>
        On
      </button>
    </nav>
  )
}
