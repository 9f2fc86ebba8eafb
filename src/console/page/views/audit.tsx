import { useState } from 'preact/hooks'
import { dateTime } from '../format.ts'
import { Empty, Loaded, PageHead } from '../parts/page.tsx'
import { Status } from '../parts/status.tsx'
import { Table } from '../parts/table.tsx'
import { useResource } from '../resource.ts'
import type { AuditEntry } from '../types.ts'

const STEP = 100

/** Who has changed what, the newest first. */
export function AuditView() {
  const [entries, setEntries] = useState(STEP)
  const [subject, setSubject] = useState('')
  const question = new URLSearchParams({ count: String(entries), ...(subject !== '' && { subject }) })
  const audit = useResource<{ entries: AuditEntry[] }>(`/v1/audit?${question}`, { kinds: ['audit'] })
  return (
    <>
      <PageHead title="Audit" note="Every change by somebody with a key, written down before it is made." />
      <section class="panel" aria-label="Changes">
        <div class="panel-head">
          <h2>Changes</h2>
          <search class="filters">
            <input
              type="search"
              aria-label="Show changes of"
              placeholder="Device, rollout or key"
              onChange={(event) => setSubject(event.currentTarget.value.trim())}
            />
          </search>
        </div>
        <Loaded from={audit}>
          {({ entries: found }) =>
            found.length === 0 ? <Empty>Nothing has been changed.</Empty> : <Entries entries={found} />
          }
        </Loaded>
        {audit.value !== undefined && audit.value.entries.length === entries && entries < 1000 ? (
          <div class="pager">
            <button type="button" class="plain" onClick={() => setEntries(Math.min(1000, entries + STEP))}>
              Earlier changes
            </button>
          </div>
        ) : null}
      </section>
    </>
  )
}

function Entries({ entries }: { readonly entries: readonly AuditEntry[] }) {
  return (
    <Table
      caption="Changes, the newest first"
      columns={['When', 'Who', 'What', 'Of', 'Outcome', 'From']}
      rows={entries.toReversed().map((entry) => ({
        key: entry.number,
        cells: [
          <time key="time" dateTime={entry.time}>
            {dateTime(entry.time)}
          </time>,
          <span key="who">
            {entry.key.name} <span class="soft">{entry.key.role}</span>
          </span>,
          <What key="what" entry={entry} />,
          entry.subject === '' ? '–' : <code key="of">{entry.subject}</code>,
          <Status key="outcome" tone={toneOf(entry.outcome)}>
            {entry.outcome}
          </Status>,
          entry.address,
        ],
      }))}
    />
  )
}

function toneOf(outcome: string) {
  return outcome === 'done' ? 'good' : outcome === 'begun' ? 'busy' : 'bad'
}

function What({ entry }: { readonly entry: AuditEntry }) {
  const what = `${entry.method} ${entry.path}`
  if (entry.detail === null) return <code>{what}</code>
  return (
    <details>
      <summary>
        <code>{what}</code>
      </summary>
      <pre>{JSON.stringify(entry.detail, null, 2)}</pre>
    </details>
  )
}
