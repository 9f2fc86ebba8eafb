import { join } from 'node:path'
import { type Database, holdDatabase, openDatabase } from '../kit/database.ts'
import { EdgeError } from '../kit/errors.ts'

/**
 * One registry over a folder, or a restore of it: two would each decide for the devices. The lock is the system's own and
 * goes with the process, however that ends.
 */
export async function lockRegistry(folder: string): Promise<Database> {
  const database = openDatabase(join(folder, 'registry.lock'))
  if (holdDatabase(database)) return database
  database.close()
  throw new EdgeError(
    'conflict',
    `Cannot use the registry in "${folder}": another process runs it; stop that first`,
  )
}
