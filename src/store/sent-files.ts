import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { isModelName } from './model-folder.ts'

/** Files of a model by their paths in its folder, like "1/model.onnx". */
export type SentFiles = ReadonlyMap<string, Uint8Array>

const DEPTH_MAX = 8
const PART_BYTES_MAX = 255
/** No separator of any system, nothing that a terminal would act on. */
const PART = /^[^/\\\p{Cc}]+$/u

/** What is wrong with the paths of a model's files: each has to stay within its folder. */
export function pathProblem(paths: readonly string[]): string | undefined {
  const all = new Set(paths)
  for (const path of paths) {
    const parts = path.split('/')
    const what = parts.map(partProblem).find((problem) => problem !== undefined)
    if (what !== undefined) return `the path ${quote(path)} ${what}`
    if (parts.length > DEPTH_MAX)
      return `the path ${quote(path)} is ${parts.length} deep, at most ${DEPTH_MAX}`
    const folder = parts.map((_, index) => parts.slice(0, index).join('/')).find((above) => all.has(above))
    if (folder !== undefined) return `${quote(folder)} is a file, and ${quote(path)} is in it`
  }
  return undefined
}

function partProblem(part: string): string | undefined {
  if (part === '') return 'is empty, absolute or has an empty part'
  if (part === '.' || part === '..') return `has the part "${part}"`
  const bytes = Buffer.byteLength(part)
  if (bytes > PART_BYTES_MAX) return `has a part of ${bytes} bytes, at most ${PART_BYTES_MAX}`
  return PART.test(part) && part.isWellFormed() ? undefined : 'has a character that no path can have'
}

function quote(path: string): string {
  return JSON.stringify(path.length > 80 ? `${path.slice(0, 80)}…` : path)
}

/** Where the files of models are while they are loaded from a request. Nothing of it is there before or after. */
export class SentModels {
  readonly #root: string

  constructor(root: string) {
    this.#root = root
  }

  /** Lets go of what a process left that was killed while it loaded. */
  async clear(): Promise<void> {
    await rm(this.#root, { recursive: true, force: true })
  }

  /**
   * Makes a repository of one model, and removes it when `use` is done with it: a session that is open needs its files
   * no more, and what it has mapped into memory lasts as long as it does.
   */
  async use<T>(model: string, files: SentFiles, use: (root: string) => Promise<T>): Promise<T> {
    const problem = isModelName(model) ? pathProblem([...files.keys()]) : 'the model cannot have that name'
    if (problem !== undefined) throw new EdgeError('input_invalid', `failed to load '${model}', ${problem}`)
    let root: string | undefined
    try {
      root = await this.#createFolder(model)
      await writeFiles(join(root, model), files)
      return await use(root)
    } finally {
      if (root !== undefined) await rm(root, { recursive: true, force: true })
    }
  }

  async #createFolder(model: string): Promise<string> {
    try {
      await mkdir(this.#root, { recursive: true, mode: 0o700 })
      return await mkdtemp(join(this.#root, 'load-'))
    } catch (cause) {
      throw notStored(model, cause)
    }
  }
}

async function writeFiles(folder: string, files: SentFiles): Promise<void> {
  try {
    await mkdir(folder)
    for (const [path, bytes] of files) {
      await mkdir(dirname(join(folder, path)), { recursive: true })
      await writeFile(join(folder, path), bytes, { flag: 'wx' })
    }
  } catch (cause) {
    throw notStored(folder, cause)
  }
}

function notStored(what: string, cause: unknown): EdgeError {
  return new EdgeError('storage_failed', `Cannot store the files of "${what}": ${messageOf(cause)}`, {
    cause,
  })
}
