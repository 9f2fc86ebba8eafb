import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { EdgeError } from '../kit/errors.ts'
import type { TrustClient } from '../trust/client.ts'
import type { SigningKey } from '../trust/key.ts'
import { type Manifest, parseManifest, readManifest, type Variant } from '../trust/manifest.ts'
import { splitModel } from '../trust/names.ts'
import { publisherView } from './catch-up.ts'
import type { KeptManifests } from './kept-manifests.ts'
import { familyPort, listManifest, relistManifest, requirePublisher, requireSameFiles } from './publish.ts'
import type { RegistryClient } from './registry-client.ts'
import { uploadFiles } from './upload.ts'
import { type CutFile, cutFiles } from './variant-files.ts'
import { GOLDEN, readVersionFolder, type VersionFolder } from './version-folder.ts'

export interface PushOrder {
  readonly family: string
  /** Undefined: the folder's name. */
  readonly name: string | undefined
  readonly modelVersion: string | undefined
  readonly release: number | undefined
  /** The first one is what the signature and new golden samples are taken from. */
  readonly variants: readonly VariantOrder[]
  readonly tolerance: { readonly atolE6: number; readonly rtolE6: number }
}

export interface VariantOrder {
  readonly name: string
  readonly folder: string
  readonly hardware: readonly string[]
  /** Undefined: those that the model's settings name. */
  readonly providers: readonly string[] | undefined
  /** Undefined: what it took while it was checked. */
  readonly memoryMb: number | undefined
  /** It cannot run on this machine. */
  readonly isUnchecked: boolean
}

/** What a version was seen to be, in a process of its own. */
export interface Probed {
  readonly providers: readonly string[]
  readonly signature: Manifest['signature']
  readonly memoryMb: number
}

export interface PushPorts {
  readonly registry: RegistryClient
  readonly trust: TrustClient
  readonly key: SigningKey
  /** Loads it and asks its golden samples; throws where it is not fit to be published. */
  readonly probe: (folder: VersionFolder, tolerance: PushOrder['tolerance']) => Promise<Probed>
  readonly settingsProviders: (folder: VersionFolder) => Promise<readonly string[]>
  readonly manifests: Pick<KeptManifests, 'read' | 'keep' | 'highestRelease'>
  readonly print: (line: string) => void
}

interface Prepared {
  readonly order: VariantOrder
  readonly folder: VersionFolder
  readonly probed: Probed | undefined
  readonly files: readonly CutFile[]
}

/** `limpet model push`: what is not fit is not uploaded, and what is uploaded is signed last. */
export async function pushVersion(order: PushOrder, ports: PushPorts): Promise<{ readonly release: number }> {
  const folders = await readFolders(order)
  const [first] = folders
  if (first === undefined) throw new EdgeError('input_invalid', 'Cannot publish: there is no variant')
  const { version } = first
  const model = `${order.family}/${order.name ?? first.name}`
  if (splitModel(model) === undefined) {
    throw new EdgeError('input_invalid', `Cannot publish "${model}": expected a name like "vision/yolo"`)
  }
  const view = await publisherView(order.family, ports)
  requirePublisher(view, { family: order.family, key: ports.key })
  const prepared = await prepareAll(order, folders, ports)
  const variants = await Promise.all(prepared.map((each) => describeVariant(each, ports)))
  const { listed } = await view.facts(model, version)
  if (listed !== undefined) {
    const bytes = await ports.registry.fetchObject(listed.sha256, listed.bytes)
    if (bytes !== undefined) requireSameFiles(readManifest(bytes, listed), variants)
    ports.print(`${model} ${version} is published as release ${listed.release}; nothing to do`)
    return listed
  }
  const kept = await ports.manifests.read(model, version)
  if (kept !== undefined) requireSamePublication(parseManifest(kept), { variants, release: order.release })
  await upload(prepared, ports)
  const port = familyPort(ports.registry, ports.trust)
  if (kept !== undefined) {
    const again = await relistManifest(kept, port, ports.key)
    ports.print(`published ${model} ${version} again as release ${again.release}, manifest ${again.sha256}`)
    return again
  }
  const signature = prepared.find(({ probed }) => probed !== undefined)?.probed?.signature
  if (signature === undefined)
    throw new EdgeError(
      'input_invalid',
      `Cannot publish "${model}": at least one variant has to run on this machine`,
    )
  const golden = goldenOf(first, order.tolerance)
  const manifest = {
    format: 1,
    model,
    version,
    release: order.release,
    variants,
    signature,
    ...golden,
  } as const
  const { listed: published, bytes } = await listManifest(manifest, port, {
    key: ports.key,
    releaseHere: await ports.manifests.highestRelease(model),
  })
  await ports.manifests.keep(published, bytes)
  ports.print(`published ${model} ${version} as release ${published.release}, manifest ${published.sha256}`)
  return published
}

function requireSamePublication(
  kept: Manifest,
  { variants, release }: { variants: readonly Variant[]; release: number | undefined },
): void {
  requireSameFiles(kept, variants)
  if (release === undefined || release === kept.release) return
  throw new EdgeError(
    'input_invalid',
    `Cannot publish ${kept.model} ${kept.version} as release ${release}: it was published as release ${kept.release}`,
  )
}

/** All of one version; golden samples of the first serve the others that have none. */
async function readFolders(order: PushOrder): Promise<VersionFolder[]> {
  const folders: VersionFolder[] = []
  for (const { folder: path, name } of order.variants) {
    let folder = await readVersionFolder(path, order.modelVersion)
    const first = folders[0] ?? folder
    if (folder.version !== first.version) {
      throw new EdgeError(
        'input_invalid',
        `Cannot publish the variant "${name}": it holds version ${folder.version}, the first one ${first.version}`,
      )
    }
    if (hasGolden(first) && !hasGolden(folder)) {
      await cp(join(first.path, GOLDEN), join(folder.path, GOLDEN), { recursive: true })
      folder = await readVersionFolder(path, order.modelVersion)
    }
    folders.push(folder)
  }
  return folders
}

export function hasGolden({ files }: VersionFolder): boolean {
  return files.includes(`${GOLDEN}/inputs.json`) && files.includes(`${GOLDEN}/outputs.json`)
}

function goldenOf(folder: VersionFolder, { atolE6, rtolE6 }: PushOrder['tolerance']) {
  return hasGolden(folder) ? { golden: { path: GOLDEN, atol_e6: atolE6, rtol_e6: rtolE6 } } : {}
}

async function prepareAll(
  order: PushOrder,
  folders: readonly VersionFolder[],
  { probe, print }: PushPorts,
): Promise<Prepared[]> {
  const prepared: Prepared[] = []
  for (const [index, variant] of order.variants.entries()) {
    const folder = folders[index]
    if (folder === undefined) continue
    if (!hasGolden(folder))
      print(
        `${variant.name}: no golden samples, so devices cannot tell a wrong answer; --make-golden makes some`,
      )
    const probed = variant.isUnchecked ? undefined : await probe(folder, order.tolerance)
    print(
      `${variant.name}: ${probed === undefined ? 'not checked' : `loads and answers as it should, ${probed.memoryMb} MB`}`,
    )
    prepared.push({ order: variant, folder, probed, files: await cutFiles(folder) })
  }
  return prepared
}

async function describeVariant(
  { order, folder, probed, files }: Prepared,
  ports: PushPorts,
): Promise<Variant> {
  const bytes = files.reduce((sum, { listed }) => sum + listed.bytes, 0)
  const providers = order.providers ?? (await ports.settingsProviders(folder))
  return {
    name: order.name,
    hardware: [...order.hardware],
    providers: [...providers],
    needs: { memory_mb: order.memoryMb ?? probed?.memoryMb ?? 0, disk_mb: Math.ceil(bytes / 1e6) },
    files: files.map(({ listed }) => listed),
  }
}

async function upload(prepared: readonly Prepared[], { registry, print }: PushPorts): Promise<void> {
  const done = await uploadFiles(
    prepared.flatMap(({ files }) => files),
    registry,
    ({ doneBytes, totalBytes }) =>
      print(
        `uploaded ${sizeOf(doneBytes)} of ${sizeOf(totalBytes)} (${Math.round((100 * doneBytes) / totalBytes)} %)`,
      ),
  )
  print(
    `${sizeOf(done.chunkBytes)} in all, ${sizeOf(done.missingBytes)} new to the registry, ` +
      `${sizeOf(done.sentBytes)} sent`,
  )
}

/** As a person reads it: a small model is no 0.0 MB. */
function sizeOf(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
}
