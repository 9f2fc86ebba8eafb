import { useState } from 'preact/hooks'
import { useClient } from '../client.ts'
import { type Command, useOrder } from '../order.ts'
import { Ago, Empty, Problem } from '../parts/page.tsx'
import { Status, stateTone } from '../parts/status.tsx'

type LogLine = Readonly<Record<string, unknown>>

const LINES = 200
/** Fields that every line has, shown in columns of their own. */
const KNOWN = ['time', 'level', 'process', 'event', 'pid', 'subsystem']

/** The device's last words, fetched when they are asked for. */
export function LogTail({ path, last }: { readonly path: string; readonly last: Command | undefined }) {
  const client = useClient()
  const send = useOrder(path)
  const [problem, setProblem] = useState<string>()
  const ask = () => {
    setProblem(undefined)
    send({ op: 'logs', lines: LINES }).catch((error: Error) => setProblem(error.message))
  }
  return (
    <section class="panel" aria-label="Log">
      <div class="panel-head">
        <h2>Log</h2>
        <div class="actions">
          {last === undefined ? null : (
            <span class="note">
              <Status tone={stateTone(last.state)}>{last.state}</Status>, asked <Ago time={last.created} />
            </span>
          )}
          {client.may('operator') ? (
            <button type="button" class="plain" onClick={ask}>
              Fetch the log
            </button>
          ) : null}
        </div>
      </div>
      {problem === undefined ? null : <Problem>{problem}</Problem>}
      <Lines last={last} />
    </section>
  )
}

function Lines({ last }: { readonly last: Command | undefined }) {
  const lines = (last?.result as { lines?: readonly LogLine[] } | null | undefined)?.lines
  if (last?.reason) return <Empty>{last.reason}</Empty>
  if (lines === undefined) return <Empty>It has not been fetched.</Empty>
  return (
    // Focusable, so that it can be scrolled by keys.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
    <div class="log" tabIndex={0} role="log" aria-label="Lines of the log">
      {lines.map((line, index) => (
        <p key={index} class={`level-${String(line['level'])}`}>
          <span class="soft">{String(line['time'] ?? '').slice(11, 23)}</span>{' '}
          <b>{String(line['process'] ?? '')}</b> {String(line['event'] ?? '')}{' '}
          <span class="soft">{restOf(line)}</span>
        </p>
      ))}
    </div>
  )
}

function restOf(line: LogLine): string {
  return Object.entries(line)
    .filter(([name]) => !KNOWN.includes(name))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ')
}
