import { statSync } from 'node:fs'
import { logger } from '../kit/log.ts'

/** What runs, wherever its file is now, and whatever lies in its place. */
const SELF = '/proc/self/exe'

/** How this very program is started: the binary is its own program; from a checkout Bun runs `src/main.ts`. */
export function ownCommand(): string[] {
  if (!Bun.main.startsWith('/$bunfs/')) return [process.execPath, Bun.main]
  const found = identify(process.execPath)
  if (found === BEGAN_AS) return [process.execPath]
  // The new one begins with the next start of the whole: until then parent and child are of one make.
  logger('app').warn('app.binary_replaced', { path: process.execPath })
  return [SELF]
}

const BEGAN_AS = identify(process.execPath)

function identify(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false })
  return found && `${found.dev} ${found.ino}`
}
