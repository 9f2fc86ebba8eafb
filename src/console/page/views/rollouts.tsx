import { useState } from 'preact/hooks'
import { useClient } from '../client.ts'
import { count } from '../format.ts'
import { Ago, Empty, Loaded, PageHead } from '../parts/page.tsx'
import { Status, stateTone } from '../parts/status.tsx'
import { Table } from '../parts/table.tsx'
import { useResource } from '../resource.ts'
import type { Rollout } from '../rollout.ts'
import { Link } from '../router.tsx'
import { NewRollout } from './new-rollout.tsx'

export function RolloutsView() {
  const client = useClient()
  const rollouts = useResource<{ rollouts: Rollout[] }>('/v1/rollouts?count=1000', { kinds: ['rollout'] })
  const [isMaking, setMaking] = useState(false)
  return (
    <>
      <PageHead title="Rollouts" note="A version brought to many devices, wave by wave.">
        {client.may('operator') ? (
          <button type="button" class="primary" onClick={() => setMaking(true)}>
            Plan a rollout
          </button>
        ) : null}
      </PageHead>
      <section class="panel" aria-label="Rollouts">
        <Loaded from={rollouts}>
          {({ rollouts: list }) =>
            list.length === 0 ? (
              <Empty>There has been none yet.</Empty>
            ) : (
              <Table
                caption="Rollouts, the newest first"
                columns={['Rollout', 'State', 'To', 'Wave', 'Committed', 'Failed', 'Made']}
                rows={list
                  .toSorted((one, other) => other.created.localeCompare(one.created))
                  .map((rollout) => ({ key: rollout.id, cells: cellsOf(rollout) }))}
              />
            )
          }
        </Loaded>
      </section>
      {isMaking ? <NewRollout onClose={() => setMaking(false)} /> : null}
    </>
  )
}

function cellsOf(rollout: Rollout) {
  const sum = (of: 'devices' | 'committed' | 'failed') =>
    rollout.waves.reduce((total, wave) => total + (wave[of] ?? 0), 0)
  return [
    <Link key="id" href={`/rollouts/${rollout.id}`} class="strong">
      {rollout.model} {rollout.version}
    </Link>,
    <Status key="state" tone={stateTone(rollout.state)}>
      {rollout.state}
    </Status>,
    <code key="to">{rollout.selector}</code>,
    `${rollout.wave} of ${rollout.waves.length - 1}`,
    `${count(sum('committed'))} of ${count(sum('devices'))}`,
    sum('failed') === 0 ? '–' : count(sum('failed')),
    <Ago key="made" time={rollout.created} />,
  ]
}
