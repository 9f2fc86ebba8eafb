import { useState } from 'preact/hooks'
import { useClient } from '../client.ts'
import { words } from '../format.ts'
import { Ago, Empty, Loaded, PageHead, Panel } from '../parts/page.tsx'
import { livenessTone, Status, stateTone } from '../parts/status.tsx'
import { Table } from '../parts/table.tsx'
import { useResource } from '../resource.ts'
import { Link } from '../router.tsx'
import type { Device, ModelOnDevice } from '../types.ts'
import { AssignDialog } from './assign.tsx'
import { Explain } from './explain.tsx'
import { livenessOf } from './fleet.tsx'
import { Health } from './health.tsx'
import { History } from './history.tsx'
import { Orders } from './orders.tsx'
import { linesOf, TagsDialog } from './tags.tsx'

/** One device: how it is, what it runs, and how it came to that. */
export function DeviceView({ id }: { readonly id: string }) {
  const client = useClient()
  const device = useResource<Device>(`/v1/devices/${encodeURIComponent(id)}`, {
    kinds: ['device', 'alert'],
    id,
  })
  const [asked, setAsked] = useState<'assign' | 'tags'>()
  const close = () => setAsked(undefined)
  return (
    <>
      <p class="crumbs">
        <Link href="/">Fleet</Link>
      </p>
      <PageHead title={id} note={device.value === undefined ? ' ' : <Note device={device.value} />}>
        {client.may('operator') ? (
          <>
            <button type="button" class="plain" onClick={() => setAsked('tags')}>
              Edit tags
            </button>
            <button type="button" class="primary" onClick={() => setAsked('assign')}>
              Assign a version
            </button>
          </>
        ) : null}
      </PageHead>
      <Loaded from={device}>
        {(seen) => (
          <>
            <Models device={seen} />
            <Facts device={seen} />
          </>
        )}
      </Loaded>
      <Explain device={id} />
      <History device={id} />
      <Health device={id} />
      <Orders device={id} />
      {asked === 'assign' ? <AssignDialog device={id} onClose={close} /> : null}
      {asked === 'tags' && device.value !== undefined ? (
        <TagsDialog device={id} tags={device.value.tags ?? {}} onClose={close} />
      ) : null}
    </>
  )
}

function Note({ device }: { readonly device: Device }) {
  return (
    <>
      <Status tone={livenessTone(livenessOf(device))}>{livenessOf(device)}</Status>, last heard{' '}
      <Ago time={device.seen} />
    </>
  )
}

function Models({ device }: { readonly device: Device }) {
  const models = device.state?.models ?? []
  const quarantine = device.state?.quarantine ?? []
  return (
    <Panel title="Models">
      {models.length === 0 ? (
        <Empty>{device.state === null ? 'It has not reported yet.' : 'Nothing is assigned to it.'}</Empty>
      ) : (
        <Table
          caption="Models on this device"
          columns={['Model', 'Runs', 'Should run', 'Last update', 'Before']}
          rows={models.map((model) => ({ key: model.model, cells: cellsOf(model) }))}
        />
      )}
      {quarantine.length === 0 ? null : (
        <ul class="plain-list">
          {quarantine.map(({ model, version, code, reason }) => (
            <li key={`${model} ${version}`}>
              <Status tone="bad">{`${model} ${version} is not tried again`}</Status>:{' '}
              {reason === '' ? code : reason}
            </li>
          ))}
        </ul>
      )}
    </Panel>
  )
}

function cellsOf({ model, running, assigned, update, previous }: ModelOnDevice) {
  return [
    <Link key="model" href={`/models/${model}`} class="strong">
      {model}
    </Link>,
    <b key="running">{running?.version ?? 'nothing'}</b>,
    assigned?.version ?? '–',
    update === null ? (
      '–'
    ) : (
      <span key="update" class="stack-tight">
        <Status tone={stateTone(update.state)}>
          {`${update.version} ${words(update.state)}${update.percent === null ? '' : ` ${Math.round(update.percent)} %`}`}
        </Status>
        {update.waits_for === '' ? null : <span class="note">{words(update.waits_for)}</span>}
        {update.reason === '' ? null : <span class="note">{update.reason}</span>}
      </span>
    ),
    previous?.version ?? '–',
  ]
}

function Facts({ device }: { readonly device: Device }) {
  const { state, tags } = device
  const facts: readonly [name: string, value: string][] = [
    ['Hardware', (state?.hardware?.names ?? device.hardware?.names ?? []).join(', ')],
    ['Providers', (state?.hardware?.providers ?? []).join(', ')],
    ['Limpet', state?.limpet ?? ''],
    ['Assignment', state?.rev === undefined ? '' : `number ${state.rev}`],
    ['Clock', typeof device.clock_offset_ms === 'number' ? `${device.clock_offset_ms} ms off` : ''],
    ['Tags', linesOf(tags ?? {}).join(', ')],
  ]
  return (
    <Panel title="The board">
      <dl class="facts">
        {facts
          .filter(([, value]) => value !== '')
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        <div>
          <dt>Enrolled</dt>
          <dd>
            <Ago time={device.enrolled} />
          </dd>
        </div>
      </dl>
    </Panel>
  )
}
