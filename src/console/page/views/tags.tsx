import { useAnnounce, useClient } from '../client.ts'
import { DeedDialog, Field } from '../parts/dialog.tsx'

type Tags = Readonly<Record<string, string>>

/** All tags of a device at once, one a line. */
export function TagsDialog(props: {
  readonly device: string
  readonly tags: Tags
  readonly onClose: () => void
}) {
  const client = useClient()
  const announce = useAnnounce()
  return (
    <DeedDialog
      title={`Tags of ${props.device}`}
      label="Save"
      onClose={props.onClose}
      deed={async (fields) => {
        const tags = parseTags(String(fields.get('tags')))
        await client.send('PUT', `/v1/devices/${encodeURIComponent(props.device)}/tags`, { tags })
        announce('Saved')
        props.onClose()
      }}
    >
      <Field label="Tags" note="One a line, like site=berlin. Rollouts select devices by them.">
        <textarea name="tags" rows={6} spellcheck={false} defaultValue={linesOf(props.tags).join('\n')} />
      </Field>
    </DeedDialog>
  )
}

export function linesOf(tags: Tags): string[] {
  return Object.entries(tags).map(([name, value]) => `${name}=${value}`)
}

/** Which names and values there may be is for the registry to say. */
function parseTags(text: string): Tags {
  const lines = text.split('\n').map((line) => line.trim())
  return Object.fromEntries(
    lines
      .filter((line) => line !== '')
      .map((line) => {
        const [name = '', ...value] = line.split('=')
        if (value.length === 0) throw new Error(`Cannot read "${line}": expected NAME=VALUE`)
        return [name.trim(), value.join('=').trim()]
      }),
  )
}
