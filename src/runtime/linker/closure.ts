import { dirname, resolve } from 'node:path'
import type { ElfFacts } from './elf.ts'

/** What the dynamic linker would find, and what it would not. */
export interface Closure {
  /** Each library once, in the order in which they would be loaded, the one asked for first. */
  readonly found: readonly Found[]
  readonly missing: readonly Missing[]
  readonly versionsMissing: readonly VersionMissing[]
}

interface Found {
  readonly name: string
  readonly path: string
}

export interface Missing {
  readonly name: string
  /** Path of who needs it. */
  readonly by: string
  /** What lies under that name and is no library for this machine. */
  readonly unfit: readonly string[]
}

/** A library is there, and too old or built another way: "GLIBC_2.38". */
export interface VersionMissing {
  readonly version: string
  readonly by: string
  readonly name: string
  readonly path: string
  /** The newest that it has of the same kind. */
  readonly newest: string | undefined
}

/** What the linker asks of the machine. */
export interface LinkerWorld {
  /** The library at a path; a string says why it is none for this machine, undefined that nothing is there. */
  read(path: string): ElfFacts | string | undefined
  /** Folders that count before all but the oldest way of saying it. */
  readonly libraryPath: readonly string[]
  readonly cache: ReadonlyMap<string, readonly string[]>
  readonly defaultFolders: readonly string[]
  /** `$LIB` and `$PLATFORM` within a path. */
  readonly lib: string
  readonly platform: string
}

const LIBRARIES_MAX = 512

interface Loaded extends Found {
  readonly facts: ElfFacts
  /** Who loaded it, up to the first: their DT_RPATH counts too. */
  readonly by: Loaded | undefined
}

/** Loads nothing: finds all that a library needs as ld.so(8) does, breadth first, each name once. */
export function findClosure(path: string, world: LinkerWorld): Closure | string {
  const first = world.read(path)
  if (first === undefined) return 'is not there'
  if (typeof first === 'string') return first
  const loaded: Loaded[] = [{ name: first.soname ?? path, path, facts: first, by: undefined }]
  const byName = new Map<string, Loaded | undefined>()
  const missing: Missing[] = []
  for (let turn = 0; turn < loaded.length && loaded.length < LIBRARIES_MAX; turn += 1) {
    const current = loaded[turn]
    if (current === undefined) break
    if (current.facts.soname !== undefined) byName.set(current.facts.soname, current)
    for (const name of current.facts.needed) {
      if (byName.has(name)) continue
      const unfit: string[] = []
      const found = findOne(name, { by: current, world, unfit })
      byName.set(name, found)
      if (found === undefined) missing.push({ name, by: current.path, unfit })
      else loaded.push(found)
    }
  }
  return {
    found: loaded.map(({ name, path: at }) => ({ name, path: at })),
    missing,
    versionsMissing: loaded.flatMap((library) => findMissingVersions(library, byName)),
  }
}

/** Where a library would be found that another one opens by its name, once it has been loaded. */
export function findNamed(
  name: string,
  { by, world }: { by: string; world: LinkerWorld },
): string | undefined {
  const facts = world.read(by)
  if (typeof facts !== 'object') return undefined
  return findOne(name, { by: { name: by, path: by, facts, by: undefined }, world, unfit: [] })?.path
}

function findOne(
  name: string,
  { by, world, unfit }: { by: Loaded; world: LinkerWorld; unfit: string[] },
): Loaded | undefined {
  for (const path of placesOf(name, { by, world })) {
    const facts = world.read(path)
    if (facts === undefined) continue
    if (typeof facts !== 'string' && facts.machine === by.facts.machine) return { name, path, facts, by }
    unfit.push(`"${path}" ${typeof facts === 'string' ? facts : `is for ${facts.machine}`}`)
  }
  return undefined
}

/** ld.so(8): DT_RPATH where there is no DT_RUNPATH, LD_LIBRARY_PATH, DT_RUNPATH, the cache, the default folders. */
function placesOf(name: string, { by, world }: { by: Loaded; world: LinkerWorld }): string[] {
  if (name.includes('/')) return [name]
  const rpaths = by.facts.runpath.length > 0 ? [] : chain(by).flatMap((each) => pathsOf(each, 'rpath', world))
  const folders = [...rpaths, ...world.libraryPath, ...pathsOf(by, 'runpath', world)]
  const last = [
    ...(world.cache.get(name) ?? []),
    ...world.defaultFolders.map((folder) => `${folder}/${name}`),
  ]
  return [...folders.map((folder) => `${folder}/${name}`), ...last]
}

function chain(library: Loaded): Loaded[] {
  const all: Loaded[] = []
  for (let each: Loaded | undefined = library; each !== undefined; each = each.by) {
    if (each.facts.runpath.length === 0) all.push(each)
  }
  return all
}

function pathsOf({ path, facts }: Loaded, which: 'rpath' | 'runpath', world: LinkerWorld): string[] {
  // As it was opened: the linker does not ask where a link leads.
  const origin = dirname(resolve(path))
  const values: Readonly<Record<string, string>> = {
    ORIGIN: origin,
    LIB: world.lib,
    PLATFORM: world.platform,
  }
  return facts[which].map((folder) =>
    folder.replaceAll(
      /\$(?:(ORIGIN|LIB|PLATFORM)\b|\{(ORIGIN|LIB|PLATFORM)\})/g,
      (_, plain, braced) => values[plain ?? braced] ?? '',
    ),
  )
}

/** A library that says nothing of versions is taken as it is. */
function findMissingVersions(
  { path: by, facts }: Loaded,
  byName: ReadonlyMap<string, Loaded | undefined>,
): VersionMissing[] {
  return facts.versionsNeeded.flatMap(({ file, versions }) => {
    const giver = byName.get(file)
    if (giver === undefined || giver.facts.versionsDefined.length === 0) return []
    return versions
      .filter((version) => !giver.facts.versionsDefined.includes(version))
      .map((version) => ({ version, by, name: file, path: giver.path, newest: newestLike(version, giver) }))
  })
}

/** "GLIBC_2.36" for "GLIBC_2.38": by their numbers, so that 2.4 is older than 2.36. */
function newestLike(version: string, { facts }: Loaded): string | undefined {
  const kind = version.slice(0, version.indexOf('_') + 1)
  const alike = facts.versionsDefined.filter(
    (each) => kind !== '' && /^\d[\d.]*$/.test(each.slice(kind.length)) && each.startsWith(kind),
  )
  return alike.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
}
