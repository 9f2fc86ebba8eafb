import { readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { ModelSettings } from '../config/model-settings.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'

const LABELS_BYTES_MAX = 16 * 1024 * 1024

/** What the classes of each output are called, by the output's name. */
export type OutputLabels = ReadonlyMap<string, readonly string[]>

/** Reads the label files that the settings name: a label a line, in the model's own folder. */
export async function readLabels(folder: string, settings: ModelSettings): Promise<OutputLabels> {
  const labels = new Map<string, readonly string[]>()
  for (const { name, label_file: file } of settings.outputs) {
    if (file !== undefined && file !== '') labels.set(name, await readLabelFile(folder, file))
  }
  return labels
}

async function readLabelFile(folder: string, file: string): Promise<string[]> {
  const path = join(folder, file)
  if (basename(path) !== file) throw refuse(file, 'expected a file in the folder of the model')
  const text = await readBounded(path).catch((cause: unknown) => {
    throw refuse(path, messageOf(cause), cause)
  })
  // Only the end of the last line is not a label: an empty line in between is a class without a name.
  return text.replace(/\r?\n$/, '').split(/\r?\n/)
}

async function readBounded(path: string): Promise<string> {
  const { size } = await stat(path)
  if (size <= LABELS_BYTES_MAX) return await readFile(path, 'utf8')
  throw new EdgeError('config_invalid', `it has ${size} bytes, at most ${LABELS_BYTES_MAX}`)
}

function refuse(file: string, what: string, cause?: unknown): EdgeError {
  return new EdgeError('config_invalid', `Cannot read the labels "${file}": ${what}`, { cause })
}
