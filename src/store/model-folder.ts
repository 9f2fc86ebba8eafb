import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { EdgeError, messageOf } from '../kit/errors.ts'

/** A model repository: `NAME/VERSION/model.onnx`, with an optional `NAME/config.toml`. */
export interface ModelFolder {
  readonly name: string
  readonly versions: readonly VersionFolder[]
  /** The text of its `config.toml`, undefined where there is none. */
  readonly config: { readonly path: string; readonly text: string } | undefined
  /** What is wrong with the folder as a whole; then there are no versions. */
  readonly problem: string | undefined
}

interface VersionFolder {
  readonly version: string
  readonly path: string
  /** What is wrong with this version. */
  readonly problem: string | undefined
}

/** Names go into URLs, topics and paths: no slash, no leading dot, and a bound. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const CONFIG_BYTES_MAX = 1024 * 1024

/** What is in a model repository, models by name. A model that is broken is listed with its problem. */
export async function listModels(root: string): Promise<ModelFolder[]> {
  const names = await listFolders(root).catch((cause) => {
    throw new EdgeError(
      'config_invalid',
      `Cannot read the models folder "${root}": ${messageOf(cause)}; give a folder that holds NAME/VERSION/model.onnx`,
      { cause },
    )
  })
  return await Promise.all(names.map((name) => readModel(root, name)))
}

async function readModel(root: string, name: string): Promise<ModelFolder> {
  const broken = (problem: string): ModelFolder => ({ name, versions: [], config: undefined, problem })
  if (!NAME.test(name)) {
    return broken(`Cannot use "${name}" as a model's name: it must match ${NAME.source}`)
  }
  try {
    const folder = join(root, name)
    const config = await readConfig(join(folder, 'config.toml'))
    const versions = await Promise.all(
      (await listFolders(folder)).map((version) => readVersion(folder, version)),
    )
    if (versions.length > 0) return { name, versions, config, problem: undefined }
    return broken(
      `Cannot serve "${name}": "${folder}" holds no version, expected a folder like 1/ with model.onnx in it`,
    )
  } catch (error) {
    return broken(`Cannot read model "${name}": ${messageOf(error)}`)
  }
}

async function readVersion(folder: string, version: string): Promise<VersionFolder> {
  const path = join(folder, version, 'model.onnx')
  const file = await stat(path).catch(() => undefined)
  const problem = !NAME.test(version)
    ? `Cannot use "${version}" as a version: it must match ${NAME.source}`
    : file === undefined
      ? `Cannot serve version ${version}: there is no "${path}"`
      : !file.isFile()
        ? `Cannot serve version ${version}: "${path}" is not a file`
        : file.size === 0
          ? `Cannot serve version ${version}: "${path}" is empty (0 bytes)`
          : undefined
  return { version, path, problem }
}

async function readConfig(path: string): Promise<ModelFolder['config']> {
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
