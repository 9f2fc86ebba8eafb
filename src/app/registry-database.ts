import { join } from 'node:path'
import { readEnvironment } from '../config/environment.ts'
import { type Database, openDatabase } from '../kit/database.ts'
import { unpackEmbedded } from '../kit/embedded-file.ts'
import { EMBEDDED } from './embedded.ts'
import { unpackFolder } from './runtime.ts'

/** What a registry knows, in its folder. */
export async function openRegistryDatabase(folder: string): Promise<Database> {
  const addonPath = await unpackEmbedded(EMBEDDED.sqlite, unpackFolder(readEnvironment().state))
  return openDatabase({ addonPath, path: join(folder, 'registry.sqlite') })
}
