import { useState } from 'preact/hooks'
import { useClient } from '../client.ts'
import { dateTime } from '../format.ts'
import { DeedDialog, Field } from '../parts/dialog.tsx'
import { Told } from '../parts/secret.tsx'

interface Token {
  readonly token: string
  readonly expires: string
}

/** A token for one device, shown this once. */
export function EnrolDialog({ onClose }: { readonly onClose: () => void }) {
  const client = useClient()
  const [made, setMade] = useState<Token>()
  if (made !== undefined) {
    return (
      <Told
        title="The token of the new device"
        note={`It is good for one device until ${dateTime(made.expires)}, and is not shown again. On the device:`}
        text={`limpet enrol --registry ${location.origin} --token ${made.token}`}
        onClose={onClose}
      />
    )
  }
  return (
    <DeedDialog
      title="Enrol a device"
      label="Make a token"
      onClose={onClose}
      deed={async (fields) => {
        const device = String(fields.get('device')).trim()
        setMade(
          await client.send<Token>('POST', '/v1/tokens', {
            expires_seconds: Number(fields.get('expires')),
            ...(device !== '' && { device }),
          }),
        )
      }}
    >
      <Field
        label="Name of the device"
        note="Without one it chooses a name of its own. Needed to enrol a known device again."
      >
        <input name="device" autoComplete="off" spellcheck={false} maxLength={64} />
      </Field>
      <Field label="Good for">
        <select name="expires">
          <option value="3600">an hour</option>
          <option value="86400">a day</option>
          <option value="604800">a week</option>
        </select>
      </Field>
    </DeedDialog>
  )
}
