import { EdgeError } from '../kit/errors.ts'
import { publisherView } from '../publisher/catch-up.ts'
import { readKeyFile, readSecretFile } from '../publisher/key-folder.ts'
import { changeFamily, familyPort } from '../publisher/publish.ts'
import { VersionContent } from '../publisher/version-content.ts'
import { manifestTarget, splitModel } from '../trust/names.ts'
import type { TargetsFields } from '../trust/sign-metadata.ts'
import { raiseFloor, unlistVersion } from '../trust/targets-change.ts'
import { openRegistry, type RegistryOptions } from './registry-trust.ts'

type Print = (line: string) => void

export interface ListOptions extends RegistryOptions {
  readonly json: boolean
}

export interface SignOptions extends RegistryOptions {
  readonly key: string
  readonly passphraseFile: string | undefined
}

/** `limpet model list`: what publishers have signed, verified here. */
export async function runModelList(options: ListOptions, print: Print): Promise<void> {
  const { registry, trust } = await openRegistry(options)
  const models = await (await trust.refresh(registry)).listModels()
  if (options.json) return print(JSON.stringify(models))
  for (const { model, version, release, floor, sha256 } of models) {
    const mark = release < floor ? '  under the security floor' : ''
    print(`${model}  ${version}  release ${release}  manifest ${sha256.slice(0, 16)}${mark}`)
  }
}

/** `limpet model show MODEL VERSION` */
export async function runModelShow(
  name: { model: string; version: string },
  options: ListOptions,
  print: Print,
): Promise<void> {
  const { content } = await fetchVersion(name, options)
  const { manifest } = content
  if (options.json) return print(JSON.stringify(manifest))
  print(`${manifest.model} ${manifest.version}, release ${manifest.release}`)
  for (const { name: variant, hardware, providers, needs, files } of manifest.variants) {
    print(`  ${variant}: ${hardware.join(', ')}; ${providers.join(', ')}; ${needs.memory_mb} MB of memory`)
    for (const { path, bytes, sha256 } of files) print(`    ${path}  ${bytes} bytes  ${sha256.slice(0, 16)}`)
  }
  print(`  golden samples: ${manifest.golden === undefined ? 'none' : manifest.golden.path}`)
}

/** `limpet model verify MODEL VERSION`: every byte, as the registry would give it to a device. */
export async function runModelVerify(
  name: { model: string; version: string },
  options: RegistryOptions,
  print: Print,
): Promise<void> {
  const { content } = await fetchVersion(name, options)
  let bytes = 0
  for await (const { path, chunks } of content.files()) {
    for await (const chunk of chunks) bytes += chunk.bytes.length
    print(`${path}: as signed`)
  }
  print(`${name.model} ${name.version}: ${bytes} bytes, all as signed`)
}

async function fetchVersion(name: { model: string; version: string }, options: RegistryOptions) {
  const { registry, trust } = await openRegistry(options)
  const { listed } = await (await trust.refresh(registry)).facts(name.model, name.version)
  if (listed === undefined) throw unknown(name)
  return { content: await VersionContent.fetch(registry, listed) }
}

function unknown({ model, version }: { model: string; version: string }): EdgeError {
  return new EdgeError('model_unknown', `Cannot find ${model} ${version}: no publisher has signed it`)
}

/** `limpet model remove MODEL VERSION`: no device takes it any more. One that runs it goes on. */
export async function runModelRemove(
  name: { model: string; version: string },
  options: SignOptions,
  print: Print,
): Promise<void> {
  await signFamily(name.model, { ...options, print }, (targets) => {
    if (Object.hasOwn(targets.targets, manifestTarget(name.model, name.version)))
      return unlistVersion(targets, name)
    throw unknown(name)
  })
  const { manifests } = await openRegistry(options)
  await manifests.forget(name.model, name.version)
  print(`removed ${name.model} ${name.version}`)
}

/** `limpet model floor MODEL RELEASE`: no device takes an older release, whatever is assigned to it. */
export async function runModelFloor(
  floor: { model: string; release: number },
  options: SignOptions,
  print: Print,
): Promise<void> {
  await signFamily(floor.model, { ...options, print }, (targets) => raiseFloor(targets, floor))
  print(`releases of ${floor.model} under ${floor.release} are not taken any more`)
}

async function signFamily(
  model: string,
  options: SignOptions & { print: Print },
  change: (targets: TargetsFields) => TargetsFields,
): Promise<void> {
  const family = splitModel(model)?.family
  if (family === undefined)
    throw new EdgeError('input_invalid', `Cannot change "${model}": expected a name like "vision/yolo"`)
  const key = await readKeyFile(options.key, await readSecretFile(options.passphraseFile))
  const { registry, trust } = await openRegistry(options)
  await publisherView(family, { registry, trust, key, print: options.print })
  await changeFamily(family, change, { port: familyPort(registry, trust), key })
}
