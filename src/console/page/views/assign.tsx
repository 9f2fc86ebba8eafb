import { useAnnounce, useClient } from '../client.ts'
import { DeedForm, Dialog } from '../parts/dialog.tsx'
import { Empty, Loaded } from '../parts/page.tsx'
import { VersionFields } from '../parts/version-fields.tsx'
import { useResource } from '../resource.ts'
import type { Assignment, Model } from '../types.ts'

/** One model's version for one device; its other models stay as they are. */
export function AssignDialog({ device, onClose }: { readonly device: string; readonly onClose: () => void }) {
  const models = useResource<{ models: Model[] }>('/v1/models')
  return (
    <Dialog title={`What should ${device} run?`} onClose={onClose}>
      <Loaded from={models}>
        {({ models: list }) =>
          list.length === 0 ? (
            <Empty>Nothing is published yet.</Empty>
          ) : (
            <AssignForm device={device} models={list} onClose={onClose} />
          )
        }
      </Loaded>
    </Dialog>
  )
}

function AssignForm(props: {
  readonly device: string
  readonly models: readonly Model[]
  readonly onClose: () => void
}) {
  const { device, models, onClose } = props
  const client = useClient()
  const announce = useAnnounce()
  return (
    <DeedForm
      label="Assign"
      onCancel={onClose}
      deed={async (fields) => {
        const model = String(fields.get('model'))
        const version = String(fields.get('version'))
        const { assignments } = await client.get<{ assignments: Assignment[] }>('/v1/assignments')
        await client.send('PUT', `/v1/assignments/${encodeURIComponent(device)}`, {
          models: withVersion(assignments, { device, model, version }),
        })
        announce(`${model} ${version} assigned to ${device}`)
        onClose()
      }}
    >
      <VersionFields
        models={models}
        note="It is fetched, proven on the device, switched to and watched, and taken back if it does not do. Rollouts pass by a device that has an assignment of its own."
      />
    </DeedForm>
  )
}

/** A device's own assignment stands for the one for all, so what that says goes along. */
function withVersion(
  assignments: readonly Assignment[],
  wanted: { readonly device: string; readonly model: string; readonly version: string },
): object[] {
  const find = (target: string) => assignments.find((one) => one.target === target)?.models
  const others = (find(wanted.device) ?? find('all') ?? []).filter(({ model }) => model !== wanted.model)
  // What the registry has added is its to say.
  const asked = others.map((one) =>
    Object.fromEntries(Object.entries(one).filter(([key]) => key !== 'manifest' && key !== 'release')),
  )
  return [...asked, { model: wanted.model, version: wanted.version }]
}
