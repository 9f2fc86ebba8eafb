import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type Closure, findClosure, findNamed, type LinkerWorld } from '../../runtime/linker/closure.ts'
import { PROVIDER_LIBRARIES } from '../../runtime/providers.ts'
import { type Check, checksOf } from './check.ts'
import { cudaMajorOf, describeMissing, describeVersions } from './library-words.ts'

/** A library that could be loaded, and what the dynamic linker would make of it. */
export interface LibraryFacts {
  /** "onnxruntime", or the provider's name. */
  readonly name: string
  readonly path: string
  /** Why it is looked at. */
  readonly why: string
  /** `chosen`: it is what serves, or would; `wanted`: the profile prefers it; `named`: the config asks for it. */
  readonly use: 'chosen' | 'named' | 'wanted' | 'spare'
  readonly version: string | undefined
  /** A text says why it is none. */
  readonly closure: Closure | string
  /** What it opens by itself while it runs, and does not find. */
  readonly unopened: readonly string[]
}

/** Opened by name when a model first needs it: not among what the linker looks for. */
const OPENED: Readonly<Record<string, readonly string[]>> = { cuda: ['libcudnn.so.9'] }
/** What the main library is called here. */
export const ONNXRUNTIME = 'onnxruntime'
const BRIDGE = 'libonnxruntime_providers_shared.so'

export function inspectLibrary(
  of: Pick<LibraryFacts, 'name' | 'path' | 'why' | 'use'>,
  world: LinkerWorld,
): LibraryFacts {
  const closure = findClosure(of.path, world)
  const isWhole = typeof closure !== 'string'
  const opened = [...(OPENED[of.name] ?? []), ...(isBridged(of) ? [BRIDGE] : [])]
  const needed = isWhole ? closure.found.map(({ name }) => name) : []
  return {
    ...of,
    version: of.name === ONNXRUNTIME ? versionOf(of.path, world) : undefined,
    closure,
    unopened: isWhole
      ? opened.filter((name) => !needed.includes(name) && !isThere(name, of.path, world))
      : [],
  }
}

/** A plug-in of the same name comes without. */
function isBridged({ name, path }: Pick<LibraryFacts, 'name' | 'path'>): boolean {
  return PROVIDER_LIBRARIES[name] === basename(path)
}

/** The bridge between ONNX Runtime and its providers is opened by its whole path. */
function isThere(name: string, by: string, world: LinkerWorld): boolean {
  if (name === BRIDGE) return world.read(join(dirname(by), BRIDGE)) !== undefined
  return findNamed(name, { by, world }) !== undefined
}

/** As it says it itself, else as its file is called: "libonnxruntime.so.1.31.1". */
function versionOf(path: string, world: LinkerWorld): string | undefined {
  const facts = world.read(path)
  const said =
    typeof facts === 'object'
      ? facts.versionsDefined.map((one) => /^VERS_(\d+\.\d+\.\d+)$/.exec(one)?.[1])
      : []
  return (
    said.find((version) => version !== undefined) ??
    /\.so\.(\d+\.\d+\.\d+)$/.exec(basename(realOf(path)))?.[1]
  )
}

function realOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

export function judgeLibraries(libraries: readonly LibraryFacts[]): Check[] {
  return libraries.map(judgeLibrary)
}

const { ok, note, warning, fault } = checksOf('libraries')

/** What is asked for and does not work is at fault; what was only hoped for is a warning. */
const BY_USE = { chosen: fault, named: fault, wanted: warning, spare: note } as const

function judgeLibrary(library: LibraryFacts): Check {
  const { name, path, why, use, version, closure } = library
  const facts = { name, path, use, version: version ?? null, ...factsOf(library) }
  const title = `${name}${version === undefined ? '' : ` ${version}`}: "${path}" (${why})`
  const bad = BY_USE[use]
  if (typeof closure === 'string')
    return bad('unusable', `${title} ${closure}`, { facts, fix: fixOfRefusal(closure) })
  const { missing, versionsMissing, found } = closure
  const cuda = cudaMajorOf([...found, ...missing].map(({ name: each }) => each))
  const later = describeMissing(
    library.unopened.map((each) => ({ name: each, by: path, unfit: [] })),
    cuda,
  )
  if (missing.length > 0) {
    const { text, fix } = describeMissing(missing, cuda)
    const also = later.text === '' ? '' : `; it would open later, and not find: ${later.text}`
    const fixes = [fix, later.fix].filter(Boolean).join('\n')
    return bad('missing', `${title} cannot be loaded, this is missing: ${text}${also}`, { fix: fixes, facts })
  }
  if (versionsMissing.length > 0) {
    const { text, fix } = describeVersions(versionsMissing)
    return bad('versions', `${title} cannot be loaded, it wants ${text}`, { fix, facts })
  }
  if (later.text !== '') {
    const text = `${title} can be loaded, but will not find what it opens itself: ${later.text}`
    return bad('unopened', text, { fix: later.fix, facts })
  }
  const more = found.length - 1
  return ok('whole', `${title}: all it needs is there (${more} ${more === 1 ? 'library' : 'libraries'})`, {
    facts,
  })
}

/** Whether the dynamic linker would take it. */
export function isLoadable({ closure }: LibraryFacts): boolean {
  return typeof closure !== 'string' && closure.missing.length === 0 && closure.versionsMissing.length === 0
}

function factsOf({ closure, unopened }: LibraryFacts): Readonly<Record<string, unknown>> {
  if (typeof closure === 'string') return { refusal: closure }
  const { found, missing, versionsMissing } = closure
  return {
    found: Object.fromEntries(found.slice(1).map(({ name, path }) => [name, path])),
    missing: missing.map(({ name, by }) => ({ name, by })),
    versions_missing: versionsMissing.map(({ version, name, path, by }) => ({ version, name, path, by })),
    not_opened: unopened,
  }
}

function fixOfRefusal(refusal: string): string {
  if (refusal === 'is not there') return 'correct the path, or put the library there'
  return `put a library for ${process.arch} there: copy it again, or take the build for this machine`
}
