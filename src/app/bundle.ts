import { randomBytes } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { Bundle } from '../bundle/bundle.ts'
import { listBrought } from '../bundle/check-bundle.ts'
import { bundlePieces } from '../bundle/writer.ts'
import { loadConfig } from '../config/config.ts'
import { readEnvironment } from '../config/environment.ts'
import { systemClock } from '../kit/clock.ts'
import { writePiecesDurably } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { bundleEntries } from '../publisher/bundle-entries.ts'
import { TrustClient } from '../trust/client.ts'
import { HighWaterMemory } from '../trust/high-water.ts'
import { MetadataFolder, MetadataOverlay } from '../trust/metadata-files.ts'
import { splitModel } from '../trust/names.ts'
import { readEnrolment } from './agent/enrolment.ts'
import { deviceFolders } from './agent/folders.ts'
import { BUILD } from './build-info.ts'
import { openRegistry, type RegistryOptions } from './registry-trust.ts'
import { wakeAgent } from './status.ts'

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

export interface ImportOptions {
  readonly state: string | undefined
  readonly config: string | undefined
}

/**
 * `limpet bundle import FILE`, at the device: held against what the device trusts, and put where the agent finds it. The
 * agent believes nothing of it for that: it goes the same way as with a registry, with its own memory of versions.
 */
export async function runBundleImport(file: string, options: ImportOptions, print: Print): Promise<void> {
  const environment = readEnvironment()
  const state = options.state ?? environment.state
  const config = await loadConfig(options.config ?? environment.config)
  const enrolment = await readEnrolment(state)
  if (enrolment === undefined) {
    throw new EdgeError(
      'config_invalid',
      `Cannot take the bundle: "${state}" holds no enrolment, so nothing is trusted yet`,
    )
  }
  const folders = deviceFolders(state, config)
  const bundle = await Bundle.open(file)
  try {
    const view = await trustFor(folders.trust, enrolment.root).refresh(bundle)
    const brought = await listBrought(bundle, view)
    if (brought.length === 0)
      throw new EdgeError('input_invalid', 'Cannot take the bundle: it holds no version as a whole')
    for (const { listed, variants } of brought) {
      print(`${listed.model} ${listed.version}, release ${listed.release}: ${variants.join(', ')}`)
    }
    const isAssigned = bundle.devices.includes(enrolment.device)
    print(isAssigned ? 'with an assignment for this device' : `with no assignment for "${enrolment.device}"`)
  } finally {
    await bundle.close()
  }
  await writePiecesDurably(state, Bun.file(file).stream(), () => Promise.resolve(folders.siteBundle))
  const isRunning = await wakeAgent(state)
  print(isRunning ? 'the agent looks at it now' : 'the agent will look at it when it runs')
}

/** A look without traces: with the files of the device, and nothing is written. */
function trustFor(folder: string, root: unknown): TrustClient {
  return new TrustClient({
    files: new MetadataOverlay(new MetadataFolder(folder)),
    highWater: new HighWaterMemory(),
    clock: systemClock,
    builtMs: BUILD.committedMs,
    enrolledRoot: Buffer.from(JSON.stringify(root)),
    makeNonce: () => randomBytes(16).toString('hex'),
  })
}

function splitVersion(text: string): { readonly model: string; readonly version: string } {
  const [model = '', version = '', ...more] = text.split('@')
  if (splitModel(model) !== undefined && version !== '' && more.length === 0) return { model, version }
  throw new EdgeError(
    'input_invalid',
    `Cannot read "${text}": expected FAMILY/NAME@VERSION, like vision/yolo@3.2.0`,
  )
}
