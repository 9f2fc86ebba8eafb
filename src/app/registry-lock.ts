import { join } from 'node:path'
import { readEnvironment } from '../config/environment.ts'
import { type Database, holdDatabase, openDatabase } from '../kit/database.ts'
import { unpackEmbedded } from '../kit/embedded-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { EMBEDDED } from './embedded.ts'
import { unpackFolder } from './runtime.ts'

/**
 * One registry over a folder, or a restore of it: two would each decide for the devices. The lock is the system's own and
 * goes with the process, however that ends.
 */
export async function lockRegistry(folder: string): Promise<Database> {
  const addonPath = await unpackEmbedded(EMBEDDED.sqlite, unpackFolder(readEnvironment().state))
  const database = openDatabase({ addonPath, path: join(folder, 'registry.lock') })
  if (holdDatabase(database)) return database
  database.close()
  throw new EdgeError(
    'conflict',
    `Cannot use the registry in "${folder}": another process runs it; stop that first`,
  )
}
