import { readFile, stat } from 'node:fs/promises'
import { systemClock } from '../../kit/clock.ts'
import { damageOf, openSnapshot } from '../../kit/database.ts'
import { messageOf } from '../../kit/errors.ts'
import { Journal } from '../../ota/journal.ts'
import { isWorking } from '../../ota/machine.ts'
import type { Status } from '../agent/status.ts'
import type { Context } from './context.ts'

/** What the agent says, or where none runs what it has left behind. */
export type AgentFacts =
  | { readonly kind: 'none' }
  /** It is there, and does not answer, or not in words that are understood. */
  | { readonly kind: 'silent' }
  | { readonly kind: 'running'; readonly status: Status }
  | { readonly kind: 'stopped'; readonly journal: JournalFacts | { readonly problem: string } }

interface JournalFacts {
  readonly rev: number
  readonly working: readonly { readonly model: string; readonly version: string; readonly state: string }[]
  readonly quarantined: readonly Quarantined[]
  /** In its log only, and so not seen. */
  readonly unseenBytes: number
}

export type Quarantined = Pick<Status['quarantine'][number], 'model' | 'version' | 'code' | 'reason'>

const DATABASE_BYTES_MAX = 512 * 1024 ** 2

export async function lookAtAgent(context: Context): Promise<AgentFacts> {
  if (context.enrolment === undefined) return { kind: 'none' }
  const { isThere, status } = await context.agent()
  if (status !== undefined) return { kind: 'running', status }
  if (isThere) return { kind: 'silent' }
  return {
    kind: 'stopped',
    journal: await readJournal(context).catch((error: unknown) => ({ problem: messageOf(error) })),
  }
}

async function readJournal({ folders }: Context): Promise<JournalFacts | { problem: string }> {
  const size = await sizeOf(folders.database)
  if (size === undefined) return { rev: 0, working: [], quarantined: [], unseenBytes: 0 }
  if (size > DATABASE_BYTES_MAX)
    return { problem: `"${folders.database}" has ${size} bytes: too much for a look` }
  const database = openSnapshot(await readFile(folders.database))
  try {
    const damage = damageOf(database)
    if (damage !== undefined) return { problem: `"${folders.database}" is damaged: ${damage}` }
    const journal = new Journal({ database, clock: systemClock, outbox: { put: () => undefined } })
    return {
      rev: journal.assignment?.rev ?? 0,
      working: journal.latest().filter((update) => isWorking(update.state)),
      quarantined: journal.quarantined(),
      unseenBytes: (await sizeOf(`${folders.database}-wal`)) ?? 0,
    }
  } finally {
    database.close()
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return await stat(path).then(
    ({ size }) => size,
    () => undefined,
  )
}
