import { dirname, resolve } from 'node:path'
import { bundlePieces } from '../bundle/writer.ts'
import { writePiecesDurably } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { bundleEntries } from '../publisher/bundle-entries.ts'
import { splitModel } from '../trust/names.ts'
import { openRegistry, type RegistryOptions } from './registry-trust.ts'

type Print = (line: string) => void

export interface ExportOptions extends RegistryOptions {
  /** "vision/yolo@3.2.0" */
  readonly model: readonly string[]
  readonly device: readonly string[]
}

/** `limpet bundle export FILE`: whole or not there, and verified before it is written. */
export async function runBundleExport(file: string, options: ExportOptions, print: Print): Promise<void> {
  const versions = options.model.map(splitVersion)
  if (versions.length === 0)
    throw new EdgeError(
      'input_invalid',
      'Cannot make a bundle: name versions with --model FAMILY/NAME@VERSION',
    )
  const { registry, trust } = await openRegistry(options)
  const entries = bundleEntries(
    { versions, devices: options.device },
    { registry, trust, nowMs: trust.now().ms, report: print },
  )
  const path = resolve(file)
  await writePiecesDurably(dirname(path), bundlePieces(entries), () => Promise.resolve(path))
  print(`wrote "${file}"`)
}

function splitVersion(text: string): { readonly model: string; readonly version: string } {
  const [model = '', version = '', ...more] = text.split('@')
  if (splitModel(model) !== undefined && version !== '' && more.length === 0) return { model, version }
  throw new EdgeError(
    'input_invalid',
    `Cannot read "${text}": expected FAMILY/NAME@VERSION, like vision/yolo@3.2.0`,
  )
}
