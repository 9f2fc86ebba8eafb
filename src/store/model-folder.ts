import { lstat, readdir, readFile, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { EdgeError, messageOf } from '../kit/errors.ts'

/** A model repository: `NAME/VERSION/model.onnx`, with an optional `NAME/config.toml` or Triton's `NAME/config.pbtxt`. */
export interface ModelFolder {
  readonly name: string
  readonly versions: readonly VersionFolder[]
  /** The text of its config, undefined where there is none. */
  readonly config: { readonly path: string; readonly text: string } | undefined
  /** What is wrong with the folder as a whole; then there are no versions. */
  readonly problem: string | undefined
}

interface VersionFolder {
  readonly version: string
  readonly path: string
}

/** Names go into URLs, topics and paths: no slash, no leading dot, and a bound. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const CONFIG_BYTES_MAX = 1024 * 1024
const CONFIG_NAMES = ['config.toml', 'config.pbtxt']

/** Triton's versions. Beside them its models have folders of other names, which are none. */
const TRITON_VERSION = /^[1-9][0-9]*$/

/** Any name but those of the folders with what a model is warmed up and proven with. */
const ANY_VERSION = /^(?!(warmup|golden)$)/

/** A name that could leave the repository is none. */
export function isModelName(name: string): boolean {
  return NAME.test(name)
}

/** What is in a model repository, models by name. A model that is broken is listed with its problem. */
export async function listModels(root: string): Promise<ModelFolder[]> {
  const names = await listFolders(root).catch((cause) => {
    throw new EdgeError(
      'config_invalid',
      `Cannot read the models folder "${root}": ${messageOf(cause)}; give a folder that holds NAME/VERSION/model.onnx`,
      { cause },
    )
  })
  return await Promise.all(names.map((name) => readFolder(root, name)))
}

/** One model by name; undefined where there is no such folder. A name that could leave the repository is no name. */
export async function readModel(root: string, name: string): Promise<ModelFolder | undefined> {
  if (!NAME.test(name) || !(await listFolders(root)).includes(name)) return undefined
  return await readFolder(root, name)
}

async function readFolder(root: string, name: string): Promise<ModelFolder> {
  const broken = (problem: string): ModelFolder => ({ name, versions: [], config: undefined, problem })
  if (!NAME.test(name)) {
    return broken(`Cannot use "${name}" as a model's name: it must match ${NAME.source}`)
  }
  try {
    const folder = await followLink(join(root, name))
    const config = await readConfig(folder)
    const isVersion = config?.path.endsWith('.pbtxt') ? TRITON_VERSION : ANY_VERSION
    const versions = (await listFolders(folder))
      .filter((version) => isVersion.test(version))
      .map((version) => ({ version, path: join(folder, version) }))
    if (versions.length > 0) return { name, versions, config, problem: undefined }
    return broken(
      `Cannot serve "${name}": "${folder}" holds no version, expected a folder like 1/ with model.onnx in it`,
    )
  } catch (error) {
    return broken(`Cannot read model "${name}": ${messageOf(error)}`)
  }
}

/** Followed once: a link that is turned elsewhere meanwhile must not mix what it led to with what it leads to. */
async function followLink(path: string): Promise<string> {
  return (await lstat(path)).isSymbolicLink() ? await realpath(path) : path
}

/** The file of a version that ONNX Runtime is to load, or what is wrong with it. */
export async function findModelFile(
  { version, path: folder }: VersionFolder,
  name: string,
): Promise<{ readonly path: string } | { readonly problem: string }> {
  const refuse = (what: string) => ({ problem: `Cannot serve version ${version}: ${what}` })
  if (!NAME.test(version)) {
    return { problem: `Cannot use "${version}" as a version: it must match ${NAME.source}` }
  }
  const path = join(folder, name)
  const file = await stat(path).catch(() => undefined)
  if (file === undefined) return refuse(`there is no "${path}"`)
  if (file.isDirectory()) return await findInFolder(path, refuse)
  if (!file.isFile()) return refuse(`"${path}" is not a file`)
  return file.size === 0 ? refuse(`"${path}" is empty (0 bytes)`) : { path }
}

/** What the files of a version come to: the model and, beside it, the data that it is spread over. */
export async function versionBytes(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true })
  const files = await Promise.all(entries.map((path) => stat(join(folder, path)).catch(() => undefined)))
  return files.reduce((sum, file) => sum + (file?.isFile() ? file.size : 0), 0)
}

/** Triton's place for a model of several files: a folder of the file's name with `model.onnx` in it. */
async function findInFolder(folder: string, refuse: (what: string) => { problem: string }) {
  const path = join(folder, 'model.onnx')
  const file = await stat(path).catch(() => undefined)
  if (!file?.isFile()) return refuse(`"${folder}" is not a file, and no folder with model.onnx in it`)
  return file.size === 0 ? refuse(`"${path}" is empty (0 bytes)`) : { path }
}

async function readConfig(folder: string): Promise<ModelFolder['config']> {
  const found = await Promise.all(CONFIG_NAMES.map((name) => readConfigFile(join(folder, name))))
  const [config, other] = found.filter((file) => file !== undefined)
  if (other === undefined) return config
  throw new EdgeError(
    'config_invalid',
    `"${folder}" holds ${CONFIG_NAMES.join(' and ')}, expected one of them`,
  )
}

async function readConfigFile(path: string): Promise<ModelFolder['config']> {
  const file = await stat(path).catch(() => undefined)
  if (file === undefined) return undefined
  if (file.size > CONFIG_BYTES_MAX) {
    throw new EdgeError('config_invalid', `"${path}" has ${file.size} bytes, at most ${CONFIG_BYTES_MAX}`)
  }
  return { path, text: await readFile(path, 'utf8') }
}

async function listFolders(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true })
  const isFolder = async (entry: (typeof entries)[number]) =>
    entry.isDirectory() || (entry.isSymbolicLink() && (await leadsToFolder(join(path, entry.name))))
  const flags = await Promise.all(entries.map(isFolder))
  const names = entries
    .filter((entry, index) => flags[index] && !entry.name.startsWith('.'))
    .map(({ name }) => name)
  return names.sort()
}

/** A link that leads nowhere counts as one to a folder: it is listed then, and reading it says what is wrong. */
async function leadsToFolder(path: string): Promise<boolean> {
  const target = await stat(path).catch(() => undefined)
  return target === undefined || target.isDirectory()
}
