import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Model by name → what its folder looks like: every file with its size and its time of change. */
export type Looks = ReadonlyMap<string, string>

/** What polling remembers between two looks. */
export interface Watched {
  /** At the look before. */
  readonly seen: Looks
  /** When the model was loaded. */
  readonly loaded: Looks
}

export interface Changes {
  readonly load: readonly string[]
  readonly unload: readonly string[]
  readonly watched: Watched
}

/**
 * A folder is loaded again when it differs from what was loaded and has looked the same twice: one that is still being
 * copied looks different each time, so half a version is never taken for a whole one.
 */
export function decideChanges({ seen, loaded }: Watched, now: Looks): Changes {
  const load = [...now].filter(([name, look]) => loaded.get(name) !== look && seen.get(name) === look)
  const unload = [...loaded.keys()].filter((name) => !now.has(name))
  const kept = [...loaded].filter(([name]) => now.has(name))
  return {
    load: load.map(([name]) => name),
    unload,
    watched: { seen: now, loaded: new Map([...kept, ...load]) },
  }
}

/** Looks at every model of a repository. A folder that cannot be read now looks like nothing, and is looked at again. */
export async function lookAtModels(root: string): Promise<Looks> {
  const entries = await readdir(root, { withFileTypes: true })
  const names = entries.map(({ name }) => name).filter((name) => !name.startsWith('.'))
  const looks = await Promise.all(
    names.sort().map(async (name) => [name, await lookAt(join(root, name))] as const),
  )
  return new Map(looks.filter(([, look]) => look !== ''))
}

async function lookAt(folder: string): Promise<string> {
  const paths = await readdir(folder, { recursive: true }).catch(() => [])
  const lines = paths.sort().map(async (path) => {
    const file = await stat(join(folder, path)).catch(() => undefined)
    return file === undefined ? path : `${path} ${file.size} ${file.mtimeMs} ${file.ino}`
  })
  return (await Promise.all(lines)).join('\n')
}
