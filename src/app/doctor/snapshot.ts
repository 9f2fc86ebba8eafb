import { type Database, openSnapshot } from '../../kit/database.ts'
import { EMBEDDED } from '../embedded.ts'
import { borrowEmbedded } from './embedded.ts'

/** A copy in memory of what a database file holds, for a look: nothing on the disk is touched. */
export async function openCopy(bytes: Uint8Array, state: string): Promise<Database> {
  return openSnapshot({ addonPath: await borrowEmbedded(EMBEDDED.sqlite, state), bytes })
}
