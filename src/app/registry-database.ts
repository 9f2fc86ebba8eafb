import { join } from 'node:path'
import { type Database, openDatabase } from '../kit/database.ts'

/** What a registry knows, in its folder. */
export async function openRegistryDatabase(folder: string): Promise<Database> {
  return openDatabase(join(folder, 'registry.sqlite'))
}
