import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, join, resolve, sep } from 'node:path'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { readModel } from '../store/model-folder.ts'
import { pathProblem } from '../store/sent-files.ts'

/** A model's folder as it lies on the publisher's machine, with the one version of it that is to be published. */
export interface VersionFolder {
  readonly path: string
  readonly name: string
  readonly version: string
  /** What travels: everything but other versions, hidden files and folders. Relative, sorted. */
  readonly files: readonly string[]
}

/** The folder of golden samples, which is no version. */
export const GOLDEN = 'golden'
const FILES_MAX = 512
const DEPTH_MAX = 8

/** `version` picks one where there are several. */
export async function readVersionFolder(folder: string, version: string | undefined): Promise<VersionFolder> {
  const path = resolve(folder)
  const refuse = (what: string) => new EdgeError('input_invalid', `Cannot publish "${folder}": ${what}`)
  const model = await readModel(join(path, '..'), basename(path))
  if (model === undefined) throw refuse('it is no folder with a name that a model can have')
  if (model.problem !== undefined) throw refuse(model.problem)
  const versions = model.versions.map((each) => each.version).filter((name) => name !== GOLDEN)
  const chosen = version ?? (versions.length === 1 ? versions[0] : undefined)
  if (chosen === undefined || !versions.includes(chosen)) {
    throw refuse(
      `it holds the versions ${versions.join(', ') || '(none)'}; give one of them with --model-version`,
    )
  }
  const others = new Set(versions.filter((name) => name !== chosen))
  const files = (await listFiles(path, others)).sort()
  if (files.length > FILES_MAX) throw refuse(`it holds ${files.length} files, at most ${FILES_MAX}`)
  const problem = pathProblem(files)
  if (problem !== undefined) throw refuse(problem)
  return { path, name: model.name, version: chosen, files }
}

async function listFiles(root: string, leftOut: ReadonlySet<string>): Promise<string[]> {
  const found: string[] = []
  const walk = async (relative: string, depth: number): Promise<void> => {
    for (const name of await readdir(join(root, relative))) {
      if (name.startsWith('.') || (relative === '' && leftOut.has(name))) continue
      const path = relative === '' ? name : `${relative}/${name}`
      const entry = await lookAt(root, path)
      if (entry.isFile()) found.push(path)
      else if (entry.isDirectory() && depth < DEPTH_MAX) await walk(path, depth + 1)
      else
        throw new EdgeError(
          'input_invalid',
          `Cannot publish "${path}": expected files, and folders at most ${DEPTH_MAX} deep`,
        )
      if (found.length > FILES_MAX) return
    }
  }
  await walk('', 1)
  return found
}

/** Follows links, but not out of the folder: what is published is what lies there. */
async function lookAt(root: string, path: string) {
  try {
    const real = await realpath(join(root, path))
    const home = await realpath(root)
    if (!real.startsWith(`${home}${sep}`)) throw new Error(`it leads out of the folder, to "${real}"`)
    return await stat(real)
  } catch (cause) {
    throw new EdgeError('input_invalid', `Cannot publish "${path}": ${messageOf(cause)}`, { cause })
  }
}
