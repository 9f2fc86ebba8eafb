import { count, plural } from '../format.ts'
import { type Alert, AlertList } from '../parts/alert-list.tsx'
import { Empty, Loaded, PageHead } from '../parts/page.tsx'
import { useResource } from '../resource.ts'
import { go, usePlace } from '../router.tsx'

const SHOWN_MAX = 200

/** What all devices complain of, the gravest first. What is asked for stands in the address. */
export function AlertsView() {
  const { query } = usePlace()
  const severity = query.get('severity') ?? ''
  const over = query.get('over') ?? ''
  const question = new URLSearchParams({
    ...{ count: String(SHOWN_MAX), active: String(over === '') },
    ...(severity !== '' && { severity }),
  })
  const alerts = useResource<{ alerts: Alert[]; total: number }>(`/v1/alerts?${question}`, {
    kinds: ['alert'],
  })
  const ask = (changed: object) => {
    const wanted = Object.entries({ severity, over, ...changed }).filter(([, value]) => value !== '')
    go(`/alerts?${new URLSearchParams(wanted)}`, { instead: true })
  }
  return (
    <>
      <PageHead title="Alerts" note="What devices complain of, by the limits of their own settings." />
      <section class="panel" aria-label="Complaints">
        <div class="panel-head">
          <h2>Complaints</h2>
          <search class="filters">
            <select
              aria-label="Show alerts that are"
              value={severity}
              onChange={(event) => ask({ severity: event.currentTarget.value })}
            >
              <option value="">All</option>
              <option value="critical">Critical</option>
              <option value="warning">Warnings</option>
            </select>
            <label>
              <input
                type="checkbox"
                checked={over !== ''}
                onChange={(event) => ask({ over: event.currentTarget.checked ? '1' : '' })}
              />{' '}
              Also what is over
            </label>
          </search>
        </div>
        <Loaded from={alerts}>
          {({ alerts: found, total }) => (
            <>
              {total === 0 ? <Empty>All is calm.</Empty> : <AlertList alerts={found} />}
              {total === 0 ? null : (
                <p class="note" role="status">
                  {total > found.length ? `${count(found.length)} of ` : ''}
                  {plural(total, 'alert')}
                </p>
              )}
            </>
          )}
        </Loaded>
      </section>
    </>
  )
}
