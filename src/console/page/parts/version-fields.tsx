import { useState } from 'preact/hooks'
import type { Model } from '../types.ts'
import { Field } from './dialog.tsx'

/** A model, and one of its versions, the newest first. */
export function VersionFields({
  models,
  note,
}: {
  readonly models: readonly Model[]
  readonly note?: string
}) {
  const [name, setName] = useState(models[0]?.model ?? '')
  const versions = models.find(({ model }) => model === name)?.versions ?? []
  return (
    <>
      <Field label="Model">
        <select name="model" value={name} onChange={(event) => setName(event.currentTarget.value)}>
          {models.map(({ model }) => (
            <option key={model}>{model}</option>
          ))}
        </select>
      </Field>
      <Field label="Version" {...(note !== undefined && { note })}>
        <select name="version" key={name}>
          {versions
            .toSorted((one, other) => other.release - one.release)
            .map(({ version }) => (
              <option key={version}>{version}</option>
            ))}
        </select>
      </Field>
    </>
  )
}
