import { useState } from 'preact/hooks'
import { useAnnounce, useClient } from '../client.ts'
import { dateTime, plural, words } from '../format.ts'
import { DeedDialog, Field } from '../parts/dialog.tsx'
import { Ago, Empty, Loaded, PageHead, Panel } from '../parts/page.tsx'
import { Mark, Status, stateTone } from '../parts/status.tsx'
import { useResource } from '../resource.ts'
import { type Action, actionsOf, DEEDS, type Rollout, type WholeRollout } from '../rollout.ts'
import { Link } from '../router.tsx'
import { Members } from './members.tsx'
import { Waves } from './waves.tsx'

/** One rollout as it goes: its waves, what has failed and why, how it came here, and what a person may do. */
export function RolloutView({ id }: { readonly id: string }) {
  const rollout = useResource<WholeRollout>(`/v1/rollouts/${id}`, { kinds: ['rollout'], id })
  const seen = rollout.value
  return (
    <>
      <p class="crumbs">
        <Link href="/rollouts">Rollouts</Link>
      </p>
      <PageHead
        title={seen === undefined ? `Rollout ${id}` : `${seen.model} ${seen.version}`}
        note={seen === undefined ? ' ' : <Note rollout={seen} />}
      >
        {seen === undefined ? null : <Actions rollout={seen} onDone={rollout.reload} />}
      </PageHead>
      <Loaded from={rollout}>
        {(whole) => (
          <>
            <Waves rollout={whole} />
            <div class="columns ragged">
              <Failures rollout={whole} />
              <Transitions rollout={whole} />
            </div>
          </>
        )}
      </Loaded>
      <Members id={id} />
    </>
  )
}

function Note({ rollout }: { readonly rollout: Rollout }) {
  return (
    <>
      <Status tone={stateTone(rollout.state)}>{rollout.state}</Status> since <Ago time={rollout.since} />, to{' '}
      <code>{rollout.selector}</code>
      {rollout.waits_for === '' ? null : <>, waits for {rollout.waits_for}</>}
    </>
  )
}

function Actions({ rollout, onDone }: { readonly rollout: Rollout; readonly onDone: () => void }) {
  const client = useClient()
  const [asked, setAsked] = useState<Action>()
  if (!client.may('operator')) return null
  return (
    <>
      {actionsOf(rollout).map((action) => (
        <button
          key={action}
          type="button"
          class={DEEDS[action].isDangerous === true ? 'plain danger-text' : 'primary'}
          onClick={() => setAsked(action)}
        >
          {DEEDS[action].label}
        </button>
      ))}
      {asked === undefined ? null : (
        <Confirm
          rollout={rollout}
          action={asked}
          onClose={() => {
            setAsked(undefined)
            onDone()
          }}
        />
      )}
    </>
  )
}

function Confirm(props: {
  readonly rollout: Rollout
  readonly action: Action
  readonly onClose: () => void
}) {
  const { rollout, action, onClose } = props
  const client = useClient()
  const announce = useAnnounce()
  const { label, tells, isDangerous } = DEEDS[action]
  return (
    <DeedDialog
      title={`${label} the rollout of ${rollout.model} ${rollout.version}?`}
      before={tells}
      label={label}
      isDangerous={isDangerous === true}
      onClose={onClose}
      deed={async (fields) => {
        await client.send('POST', `/v1/rollouts/${rollout.id}/${action}`, {
          reason: String(fields.get('reason')),
        })
        announce(`${label}: done`)
        onClose()
      }}
    >
      <Field label="Why" note="Stands in the rollout’s history.">
        <input name="reason" maxLength={500} autoComplete="off" />
      </Field>
    </DeedDialog>
  )
}

function Failures({ rollout }: { readonly rollout: WholeRollout }) {
  const { failures, abort } = rollout
  const bound = `stops at more than ${abort.failure_percent_max} % for certain, of at least ${plural(abort.failures_min, 'failure')}`
  return (
    <Panel title="Failures" note={bound}>
      {failures.length === 0 ? <Empty>None.</Empty> : null}
      <ul class="failures">
        {failures.map(({ state, code, reason, count, devices }) => (
          <li key={`${state} ${code}`}>
            <Status tone="bad">{`${plural(count, 'device')} ${words(state)}`}</Status>
            {code === '' ? null : <code>{code}</code>}
            <p class="note">{reason}</p>
            <p class="note">
              {devices.map((device, index) => (
                <span key={device}>
                  {index === 0 ? '' : ', '}
                  <Link href={`/devices/${device}`}>{device}</Link>
                </span>
              ))}
              {count > devices.length ? ` and ${count - devices.length} more` : ''}
            </p>
          </li>
        ))}
      </ul>
    </Panel>
  )
}

function Transitions({ rollout }: { readonly rollout: WholeRollout }) {
  return (
    <Panel title="How it came here">
      <ol class="steps">
        {rollout.transitions.toReversed().map(({ number, at, to, wave, reason }) => (
          <li key={number}>
            <Mark tone={stateTone(to)} />
            <span class="step">
              {to} <span class="soft">wave {wave}</span>
            </span>
            <time dateTime={at}>{dateTime(at)}</time>
            {reason === '' ? null : <span class="reason">{reason}</span>}
          </li>
        ))}
      </ol>
    </Panel>
  )
}
