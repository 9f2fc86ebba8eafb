import { copyFile, link, mkdir, mkdtemp, readdir, realpath, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { readEnvironment } from '../config/environment.ts'
import { parseModelSettings } from '../config/model-settings.ts'
import { makeFolderDurably } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { readKeyFile, readSecretFile } from '../publisher/key-folder.ts'
import { hasGolden, type Probed, type PushOrder, pushVersion, type VariantOrder } from '../publisher/push.ts'
import { readVersionFolder, type VersionFolder } from '../publisher/version-folder.ts'
import { readModel } from '../store/model-folder.ts'
import { spawnMakeGolden } from './make-golden.ts'
import type { ProbeReport } from './probe-report.ts'
import { openRegistry, type RegistryOptions } from './registry-trust.ts'
import { spawnProbe } from './spawn-probe.ts'

export interface PushOptions extends RegistryOptions {
  readonly family: string
  readonly name: string | undefined
  readonly modelVersion: string | undefined
  readonly release: number | undefined
  readonly key: string
  readonly passphraseFile: string | undefined
  readonly makeGolden: number | undefined
  readonly seed: number
  readonly atol: number
  readonly rtol: number
  readonly variantName: string
  /** "NAME:DIR" */
  readonly variant: readonly string[]
  /** "NAME:sm87,sm89" */
  readonly hardware: readonly string[]
  /** "NAME:tensorrt,cuda" */
  readonly providers: readonly string[]
  /** "NAME:900" */
  readonly memoryMb: readonly string[]
  /** NAME */
  readonly unchecked: readonly string[]
  readonly probeSeconds: number
  readonly probeMemoryMb: number
  readonly config: string | undefined
}

/** `limpet model push DIR` */
export async function runModelPush(
  folder: string,
  options: PushOptions,
  print: (line: string) => void,
): Promise<void> {
  const variants = variantsOf(folder, options)
  for (const variant of variants) await refuseEnsemble(variant.folder)
  const order: PushOrder = {
    family: options.family,
    name: options.name,
    modelVersion: options.modelVersion,
    release: options.release,
    variants,
    tolerance: { atolE6: Math.round(options.atol * 1e6), rtolE6: Math.round(options.rtol * 1e6) },
  }
  const key = await readKeyFile(options.key, await readSecretFile(options.passphraseFile))
  const { registry, trust, manifests } = await openRegistry(options)
  if (options.makeGolden !== undefined) await makeGolden(folder, options.makeGolden, { options, print })
  await pushVersion(order, {
    registry,
    trust,
    manifests,
    key,
    probe: (version) => staged(version, options, (path) => probe(path, version, options)),
    settingsProviders,
    print,
  })
}

function variantsOf(folder: string, options: PushOptions): VariantOrder[] {
  const more = options.variant.map((text) => splitNamed(text, '--variant'))
  const named = [{ name: options.variantName, value: folder }, ...more]
  const of = (name: string, texts: readonly string[], flag: string) =>
    texts.map((text) => splitNamed(text, flag)).find((each) => each.name === name)?.value
  for (const text of [...options.hardware, ...options.providers, ...options.memoryMb]) {
    const { name } = splitNamed(text, '--hardware, --providers and --memory-mb')
    requireVariant(name, named)
  }
  for (const name of options.unchecked) requireVariant(name, named)
  return named.map(({ name, value }) => ({
    name,
    folder: value,
    hardware: of(name, options.hardware, '--hardware')?.split(',') ?? ['any'],
    providers: of(name, options.providers, '--providers')?.split(','),
    memoryMb: memoryOf(of(name, options.memoryMb, '--memory-mb')),
    isUnchecked: options.unchecked.includes(name),
  }))
}

function requireVariant(name: string, named: readonly { name: string }[]): void {
  if (named.some((each) => each.name === name)) return
  const names = named.map((each) => each.name).join(', ')
  throw new EdgeError('input_invalid', `Cannot find the variant "${name}": there are ${names}`)
}

function memoryOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new EdgeError('input_invalid', `Cannot use "${text}" as memory: expected megabytes like fp16:900`)
}

function splitNamed(text: string, flag: string): { readonly name: string; readonly value: string } {
  const [, name, value] = /^([A-Za-z0-9_.-]{1,64}):(.+)$/.exec(text) ?? []
  if (name !== undefined && value !== undefined) return { name, value }
  throw new EdgeError('input_invalid', `Cannot read "${text}" for ${flag}: expected NAME:VALUE`)
}

/** Into the publisher's own folder: they travel with the version, and a person can look at them. */
async function makeGolden(
  folder: string,
  samples: number,
  { options, print }: { options: PushOptions; print: (line: string) => void },
): Promise<void> {
  const version = await readVersionFolder(folder, options.modelVersion)
  if (hasGolden(version)) {
    throw new EdgeError(
      'input_invalid',
      `Cannot make golden samples: "${folder}" has some; remove its folder "golden" first`,
    )
  }
  const { seed, config, state } = options
  await staged(version, options, async (path) => {
    await spawnMakeGolden({ folder: path, samples, seed, config, state })
    await makeFolderDurably(join(version.path, 'golden'))
    for (const file of ['golden/inputs.json', 'golden/outputs.json']) {
      await copyFile(join(path, file), join(version.path, file))
    }
  })
  print(`made golden samples in "${join(folder, 'golden')}"`)
}

/** The version as it will lie on a device: its files and no others, in a folder of the model's name. */
async function staged<T>(
  version: VersionFolder,
  { state }: PushOptions,
  use: (path: string) => Promise<T>,
): Promise<T> {
  const root = join(state ?? readEnvironment().state, 'staging')
  await mkdir(root, { recursive: true })
  await sweepStaging(root)
  const home = await mkdtemp(join(root, `push-${process.pid}-`))
  try {
    const path = join(home, version.name)
    for (const file of version.files) {
      await mkdir(dirname(join(path, file)), { recursive: true })
      // A link where the disk is the same, else a copy.
      const source = await realpath(join(version.path, file))
      await link(source, join(path, file)).catch(() => copyFile(source, join(path, file)))
    }
    return await use(path)
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

/** What a push has left that was killed. One that still runs keeps its own. */
async function sweepStaging(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const pid = Number(/^push-(\d+)-/.exec(name)?.[1])
    if (pid > 0 && !isRunning(pid)) await rm(join(root, name), { recursive: true, force: true })
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function probe(path: string, version: VersionFolder, options: PushOptions): Promise<Probed> {
  const golden = hasGolden(version)
    ? { path: 'golden', absolute: options.atol, relative: options.rtol }
    : undefined
  const report = await spawnProbe({
    folder: path,
    golden,
    memoryBytesMax: options.probeMemoryMb * 1024 ** 2,
    secondsMax: options.probeSeconds,
    config: options.config,
    state: options.state,
  })
  if (!report.fit) {
    throw new EdgeError('model_invalid', `Cannot publish "${version.path}": ${report.code}: ${report.reason}`)
  }
  return {
    providers: report.providers,
    signature: signatureOf(report),
    memoryMb: Math.ceil((report.memory?.resident_bytes_max ?? 0) / 1e6),
  }
}

function signatureOf({ signature }: ProbeReport): Probed['signature'] {
  const specs = (list: NonNullable<ProbeReport['signature']>['inputs']) =>
    list.map(({ name, datatype, shape }) => ({ name, datatype, shape }))
  return { inputs: specs(signature?.inputs ?? []), outputs: specs(signature?.outputs ?? []) }
}

/** It has no files of its own, and the models that it is made of are versions that come and go by themselves. */
async function refuseEnsemble(folder: string): Promise<void> {
  const path = resolve(folder)
  const model = await readModel(dirname(path), basename(path))
  const { ensemble } = parseModelSettings(model?.config)
  if (ensemble === undefined) return
  const members = [...new Set(ensemble.steps.map((step) => step.model))].join(', ')
  throw new EdgeError(
    'unsupported',
    `Cannot publish "${folder}": it is an ensemble, which does not travel; publish and assign what it is made of (${members}), ` +
      'and give the device the ensemble itself with its own models ("limpet up --models DIR")',
  )
}

/** As the model's own settings say; "cpu" always comes last there too. */
async function settingsProviders({ path }: VersionFolder): Promise<readonly string[]> {
  const model = await readModel(dirname(path), basename(path))
  const named = parseModelSettings(model?.config).session.providers?.map(({ name }) => name) ?? []
  return named.includes('cpu') ? named : [...named, 'cpu']
}
