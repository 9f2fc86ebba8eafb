import { useState } from 'preact/hooks'
import { useClient } from '../client.ts'
import { words } from '../format.ts'
import { type Command, useOrder } from '../order.ts'
import { DeedDialog } from '../parts/dialog.tsx'
import { Ago, Empty, Loaded, Panel, Problem } from '../parts/page.tsx'
import { Status, stateTone } from '../parts/status.tsx'
import { Table } from '../parts/table.tsx'
import { useResource } from '../resource.ts'
import { LogTail } from './log-tail.tsx'

const OPERATIONS = [
  { op: 'identify', label: 'Identify', note: 'It makes itself known to whoever stands before it.' },
  { op: 'rebirth', label: 'Report anew', note: 'It says anew what it is like.' },
  {
    op: 'diagnostics',
    label: 'Diagnostics',
    note: 'It collects what helps to find a fault, without secrets.',
  },
  {
    op: 'restart_serve',
    label: 'Restart serving',
    note: 'The process that serves models is started anew. Requests fail until it is back.',
    isDangerous: true,
  },
] as const
type Operation = (typeof OPERATIONS)[number]

const SHOWN_MAX = 10

/** What may be asked of a device from afar, and how that ended. */
export function Orders({ device }: { readonly device: string }) {
  const client = useClient()
  const path = `/v1/devices/${encodeURIComponent(device)}/commands`
  const commands = useResource<{ commands: Command[] }>(path, { kinds: ['command'] })
  const newest = commands.value?.commands.toReversed() ?? []
  return (
    <>
      <LogTail path={path} last={newest.find(({ op }) => op === 'logs')} />
      <Panel title="Commands">
        {client.may('operator') ? <Buttons path={path} /> : null}
        <Loaded from={commands}>
          {() =>
            newest.length === 0 ? (
              <Empty>Nothing has been asked of it yet.</Empty>
            ) : (
              <Table
                caption="Commands, the newest first"
                columns={['Command', 'State', 'Asked', 'Outcome']}
                rows={newest
                  .slice(0, SHOWN_MAX)
                  .map((command) => ({ key: command.id, cells: cellsOf(command) }))}
              />
            )
          }
        </Loaded>
      </Panel>
    </>
  )
}

function cellsOf(command: Command) {
  return [
    words(command.op),
    <Status key="state" tone={stateTone(command.state)}>
      {command.state}
    </Status>,
    <Ago key="asked" time={command.created} />,
    <Outcome key="outcome" command={command} />,
  ]
}

function Outcome({ command }: { readonly command: Command }) {
  const client = useClient()
  const attachment = (command.result as { attachment?: { at?: string } } | null)?.attachment
  if (command.reason !== '') return <>{command.reason}</>
  if (attachment?.at === 'upload' && client.may('operator')) {
    return <a href={`/v1/uploads/${command.id}`}>Download</a>
  }
  return <>{command.state === 'done' ? 'as asked' : '–'}</>
}

function Buttons({ path }: { readonly path: string }) {
  const [asked, setAsked] = useState<Operation>()
  const [problem, setProblem] = useState<string>()
  const send = useOrder(path)
  const press = (operation: Operation) => {
    setProblem(undefined)
    if ('isDangerous' in operation) setAsked(operation)
    else send({ op: operation.op }).catch((error: Error) => setProblem(error.message))
  }
  return (
    <>
      <div class="actions">
        {OPERATIONS.map((operation) => (
          <button
            key={operation.op}
            type="button"
            class="plain"
            title={operation.note}
            onClick={() => press(operation)}
          >
            {operation.label}
          </button>
        ))}
      </div>
      {problem === undefined ? null : <Problem>{problem}</Problem>}
      {asked === undefined ? null : (
        <DeedDialog
          title={`${asked.label}?`}
          before={asked.note}
          label={asked.label}
          isDangerous
          onClose={() => setAsked(undefined)}
          deed={async () => {
            await send({ op: asked.op })
            setAsked(undefined)
          }}
        />
      )}
    </>
  )
}
