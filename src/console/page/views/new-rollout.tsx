import { useState } from 'preact/hooks'
import { useClient } from '../client.ts'
import { count, plural } from '../format.ts'
import { DeedForm, Dialog, Field } from '../parts/dialog.tsx'
import { Empty, Loaded } from '../parts/page.tsx'
import { VersionFields } from '../parts/version-fields.tsx'
import { useResource } from '../resource.ts'
import { go } from '../router.tsx'
import type { Model } from '../types.ts'

interface Planned {
  readonly devices: number
  readonly waves: readonly { readonly devices: number; readonly hardware: Readonly<Record<string, number>> }[]
  readonly left_out: readonly { readonly device: string; readonly reason: string }[]
}

/** First what is wanted, then what that would come to, and only then a draft, which nobody has started. */
export function NewRollout({ onClose }: { readonly onClose: () => void }) {
  const models = useResource<{ models: Model[] }>('/v1/models')
  const [planned, setPlanned] = useState<{ request: object; plan: Planned }>()
  return (
    <Dialog title={planned === undefined ? 'Plan a rollout' : 'This is what it comes to'} onClose={onClose}>
      {planned !== undefined ? (
        <Confirm {...planned} onBack={() => setPlanned(undefined)} />
      ) : (
        <Loaded from={models}>
          {({ models: list }) =>
            list.length === 0 ? (
              <Empty>Nothing is published yet.</Empty>
            ) : (
              <Wishes models={list} onCancel={onClose} onPlanned={setPlanned} />
            )
          }
        </Loaded>
      )}
    </Dialog>
  )
}

function Wishes(props: {
  readonly models: readonly Model[]
  readonly onCancel: () => void
  readonly onPlanned: (planned: { request: object; plan: Planned }) => void
}) {
  const client = useClient()
  return (
    <DeedForm
      label="See what it comes to"
      onCancel={props.onCancel}
      deed={async (fields) => {
        const request = requestOf(fields)
        props.onPlanned({ request, plan: await client.send<Planned>('POST', '/v1/rollouts/plan', request) })
      }}
    >
      <VersionFields models={props.models} />
      <Field label="Devices" note="all, or by tag, profile, version and id, like site=berlin">
        <input name="selector" defaultValue="all" required spellcheck={false} autoComplete="off" />
      </Field>
      <Field
        label="Waves, in percent of all of them"
        note="The last one is 100. One of each class of hardware is in the first."
      >
        <input name="waves" defaultValue="1, 10, 50, 100" required autoComplete="off" pattern="[0-9., ]+" />
      </Field>
      <Field label="Calm after each wave, in seconds">
        <input name="soak" type="number" min={0} max={2_592_000} defaultValue="600" required />
      </Field>
      <Field label="Watched on each device before it counts, in seconds">
        <input name="observe" type="number" min={0} max={604_800} defaultValue="900" required />
      </Field>
      <Field label="When too many fail">
        <select name="on_abort">
          <option value="stop">stop</option>
          <option value="revert">go back everywhere</option>
        </select>
      </Field>
      <Field label="Approval">
        <select name="approval">
          <option value="none">none</option>
          <option value="second_person">by a second person</option>
        </select>
      </Field>
    </DeedForm>
  )
}

function requestOf(fields: FormData): object {
  const text = (name: string) => String(fields.get(name)).trim()
  const soak_seconds = Number(text('soak'))
  return {
    model: text('model'),
    version: text('version'),
    selector: text('selector'),
    waves: text('waves')
      .split(/[ ,]+/)
      .filter((part) => part !== '')
      .map((part) => ({ percent: Number(part), soak_seconds })),
    policy: { observe_seconds: Number(text('observe')) },
    abort: { on_abort: text('on_abort') },
    approval: text('approval'),
  }
}

function Confirm(props: { readonly request: object; readonly plan: Planned; readonly onBack: () => void }) {
  const client = useClient()
  const { plan } = props
  return (
    <DeedForm
      label="Make the draft"
      onCancel={props.onBack}
      deed={async () => {
        const { id } = await client.send<{ id: string }>('POST', '/v1/rollouts', props.request)
        go(`/rollouts/${id}`)
      }}
    >
      <p>It reaches {plural(plan.devices, 'device')}. Nothing happens before it is started.</p>
      <ol class="plan">
        {plan.waves.map((wave, index) => (
          <li key={index}>
            <b>Wave {index}</b> {plural(wave.devices, 'device')}{' '}
            <span class="note">
              {Object.entries(wave.hardware)
                .map(([name, devices]) => `${name} ${count(devices)}`)
                .join(', ')}
            </span>
          </li>
        ))}
      </ol>
      {plan.left_out.length === 0 ? null : (
        <details>
          <summary>{plural(plan.left_out.length, 'device')} left out</summary>
          <ul class="plain-list">
            {plan.left_out.map(({ device, reason }) => (
              <li key={device}>
                <b>{device}</b> <span class="note">{reason}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
    </DeedForm>
  )
}
