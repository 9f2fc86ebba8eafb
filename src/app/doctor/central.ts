import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { damageOf, openSnapshot } from '../../kit/database.ts'
import { askHealth, type Health } from '../ask-health.ts'
import type { Context } from './context.ts'
import { readExpiry } from './trust.ts'

/** A registry that lives on this machine. */
export interface CentralFacts {
  readonly nowMs: number
  readonly folder: string
  readonly databaseBytes: number
  /** Undefined: not looked for, since it is being written or too large. */
  readonly damage: string | undefined
  readonly isSearched: boolean
  /** What it signs with, and who may read that. */
  readonly keys: readonly { readonly path: string; readonly mode: number }[]
  readonly hasDevelopmentKeys: boolean
  readonly expiresMs: Readonly<Record<string, number>>
  /** At the address that a registry has where nobody says otherwise. */
  readonly health: Health | undefined
}

const SEARCHED_BYTES_MAX = 256 * 1024 ** 2
const ROLES_MAX = 64
const ANSWER_MS_MAX = 2_000
const USUAL_URL = 'http://127.0.0.1:8100/v1/health'

/** Undefined where no registry was ever started. */
export async function lookAtCentral(context: Context): Promise<CentralFacts | undefined> {
  const { state, clock, options } = context
  for (const folder of [join(state, 'registry'), state]) {
    const database = join(folder, 'registry.sqlite')
    const found = await stat(database).catch(() => undefined)
    if (found === undefined) continue
    const isQuiet = (await sizeOf(`${database}-wal`)) === 0
    const isSearched = isQuiet && found.size <= SEARCHED_BYTES_MAX
    return {
      nowMs: clock.now(),
      folder,
      databaseBytes: found.size,
      damage: isSearched ? await searchDamage(database) : undefined,
      isSearched,
      keys: await listKeys(join(folder, 'keys')),
      hasDevelopmentKeys: (await sizeOf(join(folder, 'development-keys'))) > 0,
      expiresMs: await readExpiries(join(folder, 'tuf')),
      health: options.offline ? undefined : await askHealth({ url: USUAL_URL }, ANSWER_MS_MAX),
    }
  }
  return undefined
}

async function sizeOf(path: string): Promise<number> {
  return await stat(path).then(
    ({ size }) => size,
    () => 0,
  )
}

async function searchDamage(path: string): Promise<string | undefined> {
  const database = openSnapshot(await readFile(path))
  try {
    return damageOf(database)
  } finally {
    database.close()
  }
}

async function listKeys(folder: string): Promise<CentralFacts['keys']> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.pem'))
  return await Promise.all(
    names.map(async (name) => {
      const path = join(folder, name)
      return { path, mode: (await stat(path)).mode & 0o777 }
    }),
  )
}

async function readExpiries(folder: string): Promise<Readonly<Record<string, number>>> {
  const newest = newestOf(await readdir(folder).catch(() => []))
  const read = Object.entries(newest)
    .slice(0, ROLES_MAX)
    .map(async ([role, name]) => {
      const ms = await readExpiry(join(folder, name))
      return ms === undefined ? [] : [[role, ms] as const]
    })
  return Object.fromEntries((await Promise.all(read)).flat())
}

/** Of each role the file without a version in its name, else that of the highest: "12.vision.json". */
export function newestOf(names: readonly string[]): Readonly<Record<string, string>> {
  const found = new Map<string, { readonly version: number; readonly name: string }>()
  for (const name of names) {
    const [, digits, role] = /^(?:(\d{1,15})\.)?([^.]+)\.json$/.exec(name) ?? []
    if (role === undefined) continue
    const version = digits === undefined ? Number.POSITIVE_INFINITY : Number(digits)
    if (version > (found.get(role)?.version ?? -1)) found.set(role, { version, name })
  }
  return Object.fromEntries([...found].map(([role, { name }]) => [role, name]))
}
