import { useState } from 'preact/hooks'
import { useAnnounce, useClient } from '../client.ts'
import { DeedDialog, Field } from '../parts/dialog.tsx'
import { Ago, Empty, Loaded, PageHead, Panel } from '../parts/page.tsx'
import { Told } from '../parts/secret.tsx'
import { Status } from '../parts/status.tsx'
import { Table } from '../parts/table.tsx'
import { useResource } from '../resource.ts'
import type { ApiKey } from '../types.ts'
import { EnrolDialog } from './enrol.tsx'

/** Keys of people and programs, and tokens of devices. */
export function AccessView() {
  const client = useClient()
  const [isEnrolling, setEnrolling] = useState(false)
  return (
    <>
      <PageHead title="Access" note="Keys for people and programs, tokens for devices. Each is told once." />
      <Panel title="Enrolment tokens" note="One brings one device into the fleet.">
        {client.may('operator') ? (
          <button type="button" class="primary" onClick={() => setEnrolling(true)}>
            Make a token
          </button>
        ) : (
          <Empty>Tokens are made by operators.</Empty>
        )}
      </Panel>
      {client.may('admin') ? (
        <Keys />
      ) : (
        <Panel title="API keys">
          <Empty>Keys are seen and made by admins.</Empty>
        </Panel>
      )}
      {isEnrolling ? <EnrolDialog onClose={() => setEnrolling(false)} /> : null}
    </>
  )
}

function Keys() {
  const keys = useResource<{ keys: ApiKey[] }>('/v1/keys', { kinds: ['audit'] })
  const [asked, setAsked] = useState<'new' | ApiKey>()
  const close = () => {
    setAsked(undefined)
    keys.reload()
  }
  return (
    <section class="panel" aria-label="API keys">
      <div class="panel-head">
        <h2>API keys</h2>
        <button type="button" class="primary" onClick={() => setAsked('new')}>
          Make a key
        </button>
      </div>
      <Loaded from={keys}>{(list) => <KeyTable keys={list.keys} onRevoke={setAsked} />}</Loaded>
      {asked === 'new' ? <NewKey onClose={close} /> : null}
      {typeof asked === 'object' ? <Revoke of={asked} onClose={close} /> : null}
    </section>
  )
}

function KeyTable({
  keys,
  onRevoke,
}: {
  readonly keys: readonly ApiKey[]
  readonly onRevoke: (key: ApiKey) => void
}) {
  const client = useClient()
  return (
    <Table
      caption="API keys"
      columns={['Name', 'Role', 'Id', 'Made', 'State', '']}
      rows={keys.map((key) => ({
        key: key.id,
        cells: [
          <b key="name">
            {key.name} {key.id === client.session?.key_id ? <span class="soft">yours</span> : null}
          </b>,
          key.role,
          <code key="id">{key.id}</code>,
          <Ago key="made" time={new Date(key.created).toISOString()} />,
          <Status key="state" tone={key.revoked === null ? 'good' : 'quiet'}>
            {key.revoked === null ? 'in use' : 'revoked'}
          </Status>,
          key.revoked === null ? (
            <button key="revoke" type="button" class="plain" onClick={() => onRevoke(key)}>
              Revoke<span class="hidden"> {key.name}</span>
            </button>
          ) : null,
        ],
      }))}
    />
  )
}

function NewKey({ onClose }: { readonly onClose: () => void }) {
  const client = useClient()
  const [text, setText] = useState<string>()
  if (text !== undefined) {
    return <Told title="The new key" note="It is not shown again." text={text} onClose={onClose} />
  }
  return (
    <DeedDialog
      title="Make a key"
      label="Make the key"
      onClose={onClose}
      deed={async (fields) => {
        const wanted = { name: String(fields.get('name')), role: String(fields.get('role')) }
        setText((await client.send<{ key: string }>('POST', '/v1/keys', wanted)).key)
      }}
    >
      <Field label="Name">
        <input name="name" required maxLength={100} autoComplete="off" />
      </Field>
      <Field
        label="Role"
        note="An admin may do everything; the others look, and do what they are named after."
      >
        <select name="role">
          <option>viewer</option>
          <option>operator</option>
          <option>publisher</option>
          <option>admin</option>
        </select>
      </Field>
    </DeedDialog>
  )
}

function Revoke({ of, onClose }: { readonly of: ApiKey; readonly onClose: () => void }) {
  const client = useClient()
  const announce = useAnnounce()
  return (
    <DeedDialog
      title={`Revoke the key “${of.name}”?`}
      before="Whoever uses it is shut out at once, browsers that have logged in with it too. This cannot be taken back."
      label="Revoke"
      isDangerous
      onClose={onClose}
      deed={async () => {
        await client.send('DELETE', `/v1/keys/${of.id}`)
        announce(`Key ${of.name} revoked`)
        onClose()
      }}
    />
  )
}
