import { useEffect, useState } from 'preact/hooks'
import { words } from '../format.ts'
import { Empty, Loaded } from '../parts/page.tsx'
import { Status, stateTone } from '../parts/status.tsx'
import { Table } from '../parts/table.tsx'
import { useResource } from '../resource.ts'
import { Link } from '../router.tsx'

interface Member {
  readonly device: string
  readonly wave: number
  readonly state: string
  readonly step: string
  readonly code: string
  readonly reason: string
}

const ROWS = 50
const STATES = [
  'waiting',
  'assigned',
  'taken',
  'trial',
  'committed',
  'failed',
  'rejected',
  'timed_out',
  'rolled_back',
  'vanished',
  'alerted',
  'reverting',
  'reverted',
  'stranded',
]

/** The devices of a rollout, a page at a time. */
export function Members({ id }: { readonly id: string }) {
  const [state, setState] = useState('')
  const [before, setBefore] = useState<readonly string[]>([])
  useEffect(() => setBefore([]), [state])
  const question = new URLSearchParams({
    count: String(ROWS),
    ...(state !== '' && { state }),
    after: before.at(-1) ?? '',
  })
  const members = useResource<{ devices: Member[] }>(`/v1/rollouts/${id}/devices?${question}`, {
    kinds: ['rollout'],
    id,
  })
  const last = members.value?.devices.length === ROWS ? members.value.devices.at(-1)?.device : undefined
  return (
    <section class="panel" aria-label="Devices of the rollout">
      <div class="panel-head">
        <h2>Devices</h2>
        <select
          aria-label="Show devices that are"
          value={state}
          onChange={(event) => setState(event.currentTarget.value)}
        >
          <option value="">All</option>
          {STATES.map((name) => (
            <option key={name} value={name}>
              {words(name)}
            </option>
          ))}
        </select>
      </div>
      <Loaded from={members}>
        {({ devices }) =>
          devices.length === 0 ? <Empty>None is like that.</Empty> : <Rows devices={devices} />
        }
      </Loaded>
      <nav class="pager" aria-label="Pages of devices">
        <button
          type="button"
          class="plain"
          disabled={before.length === 0}
          onClick={() => setBefore(before.slice(0, -1))}
        >
          Back
        </button>
        <button
          type="button"
          class="plain"
          disabled={last === undefined}
          onClick={() => setBefore([...before, last ?? ''])}
        >
          On
        </button>
      </nav>
    </section>
  )
}

function Rows({ devices }: { readonly devices: readonly Member[] }) {
  return (
    <Table
      caption="Devices of the rollout"
      columns={['Device', 'State', 'Wave', 'Why']}
      rows={devices.map(({ device, wave, state, step, reason }) => ({
        key: device,
        cells: [
          <Link key="device" href={`/devices/${device}`} class="strong">
            {device}
          </Link>,
          <span key="state">
            <Status tone={stateTone(state)}>{words(state)}</Status>{' '}
            {step === '' || step === state ? null : <span class="note">{words(step)}</span>}
          </span>,
          String(wave),
          reason === '' ? '–' : reason,
        ],
      }))}
    />
  )
}
