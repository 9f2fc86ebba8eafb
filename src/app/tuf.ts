import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../kit/clock.ts'
import { openDatabase } from '../kit/database.ts'
import { makeFolderDurably, writeDurably } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { HighWaterTable } from '../trust/high-water.ts'
import { MetadataFolder, roleFile } from '../trust/metadata-files.ts'
import { TrustRefusal } from '../trust/refusal.ts'
import { TufWorkflow } from '../trust/workflow.ts'
import { fetchBounded } from './web.ts'

/**
 * `limpet tuf`: a bare TUF client with the command line of tuf-conformance, over the same workflow, files and database
 * as a device's. For holding it against the suite; nothing else calls it.
 */
export interface TufOptions {
  readonly metadataDir: string
  readonly metadataUrl: string | undefined
  readonly targetName: string | undefined
  readonly targetBaseUrl: string | undefined
  readonly targetDir: string | undefined
}

const TARGET_BYTES_MAX = 64 * 1024 * 1024

export async function runTufInit(rootFile: string, { metadataDir }: TufOptions): Promise<void> {
  await new MetadataFolder(metadataDir).write(roleFile('root'), new Uint8Array(await readFile(rootFile)))
}

export async function runTufRefresh(options: TufOptions): Promise<void> {
  await (await begin(options)).refresh()
}

export async function runTufDownload(options: TufOptions): Promise<void> {
  const path = given(options, 'targetName')
  const folder = given(options, 'targetDir')
  const base = given(options, 'targetBaseUrl')
  const workflow = await begin(options)
  await workflow.refresh()
  const target = await workflow.find(path)
  const sha256 = target?.hashes['sha256']
  if (target === undefined || sha256 === undefined) {
    throw new TrustRefusal('model_unlisted', `Cannot download "${path}": no role lists it with a SHA-256`)
  }
  const file = join(folder, encodeURIComponent(path))
  const kept = await readFile(file).catch(() => undefined)
  if (kept !== undefined && hash(kept) === sha256) return
  const name = workflow.root.consistentSnapshot ? path.replace(/[^/]*$/, (last) => `${sha256}.${last}`) : path
  const bytes = await fetchBounded(urlOf(base, name), Math.min(target.length, TARGET_BYTES_MAX))
  if (bytes === undefined || bytes.length !== target.length || hash(bytes) !== sha256) {
    throw new TrustRefusal(
      'object_tampered',
      `Cannot download "${path}": what is there is not what was signed`,
    )
  }
  await makeFolderDurably(folder)
  await writeDurably(file, bytes)
}

async function begin(options: TufOptions): Promise<TufWorkflow> {
  const base = given(options, 'metadataUrl')
  const files = new MetadataFolder(options.metadataDir)
  const root = await files.read(roleFile('root'))
  return new TufWorkflow(root ?? new Uint8Array(), {
    source: { fetchMetadata: (name, bytesMax) => fetchBounded(urlOf(base, name), bytesMax) },
    files,
    highWater: new HighWaterTable(openDatabase(join(options.metadataDir, 'versions.sqlite'))),
    nowMs: systemClock.now(),
  })
}

function given(options: TufOptions, name: Exclude<keyof TufOptions, 'metadataDir'>): string {
  const value = options[name]
  if (value !== undefined) return value
  throw new EdgeError(
    'input_invalid',
    `Cannot go on: --${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} is missing`,
  )
}

function urlOf(base: string, name: string): string {
  return `${base.replace(/\/$/, '')}/${name}`
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
