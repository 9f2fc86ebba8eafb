import { existsSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { ModelSettings } from '../config/model-settings.ts'
import type { Profile } from '../config/profile.ts'
import type { ProfileChoice } from '../config/profile-choice.ts'
import { unpackEmbedded } from '../kit/embedded-file.ts'
import { logger } from '../kit/log.ts'
import type { ProviderChoice, SessionOptions } from '../runtime/backend.ts'
import type { GpuSettings } from '../runtime/gpu-settings.ts'
import type { EngineParts } from '../runtime/kept-sessions.ts'
import { OrtBackend } from '../runtime/ort-backend.ts'
import type { ProviderLibrary } from '../runtime/provider-library.ts'
import { isCpu, PROVIDER_LIBRARIES, providerFullName } from '../runtime/providers.ts'
import { EMBEDDED } from './embedded.ts'
import { type EngineRole, openEngines } from './engines.ts'
import { findProfile } from './profile.ts'

export interface LibraryChoice {
  readonly path: string
  /** Why this one, for doctor. */
  readonly reason: string
}

/** The config's library, else the first of the profile's that is there, else the one inside the binary. */
async function chooseLibrary(from: {
  config: Config
  profile: ProfileChoice
  state: string
}): Promise<LibraryChoice> {
  return (
    (await findLibrary(from)) ?? {
      path: await unpackEmbedded(EMBEDDED.onnxruntime, unpackFolder(from.state)),
      reason: 'inside the binary',
    }
  )
}

/** Undefined: the one inside the binary. */
export async function findLibrary(from: {
  config: Config
  profile: ProfileChoice
}): Promise<LibraryChoice | undefined> {
  const { library } = from.config.runtime
  if (library !== undefined) return { path: library, reason: 'runtime.library in the config' }
  const { profile } = from.profile
  for (const path of libraryPlaces(from.profile)) {
    if (await isThere(path)) return { path, reason: `firmware profile "${profile.name}"` }
  }
  return undefined
}

export function libraryPlaces({ profile, generation }: ProfileChoice): readonly string[] {
  return [...(generation?.libraries ?? []), ...profile.runtime.libraries]
}

/** The config's, there or not, since somebody wants them; of the profile's the first of each name that is there. */
export async function chooseProviderLibraries(from: {
  config: Config
  profile: ProfileChoice
}): Promise<readonly ProviderLibrary[]> {
  const named = from.config.runtime.provider_libraries
  if (named !== undefined) return named
  const chosen = new Map<string, ProviderLibrary>()
  for (const library of from.profile.profile.runtime.provider_libraries) {
    if (!chosen.has(library.name) && (await isThere(library.path))) chosen.set(library.name, library)
  }
  return [...chosen.values()]
}

export function unpackFolder(state: string): string {
  return join(state, 'unpacked')
}

/**
 * Of these providers those that can be there, in their order: plug-ins by their name, others as files beside the library,
 * and the library inside the binary comes without. Whether they are any good is seen when a model is loaded.
 */
export async function presentProviders<T extends { readonly name: string }>(
  wanted: readonly T[],
  { library, plugins }: { library: string | undefined; plugins: readonly ProviderLibrary[] },
): Promise<T[]> {
  const found = await Promise.all(
    wanted.map(async ({ name }) => {
      if (isCpu(name) || plugins.some((plugin) => plugin.name === name)) return true
      if (library === undefined) return false
      const file = PROVIDER_LIBRARIES[name]
      return file === undefined || (await isThere(join(dirname(library), file)))
    }),
  )
  return wanted.filter((_, index) => found[index])
}

/** What this machine can offer to models, without loading anything. */
export async function offeredProviders(from: { config: Config; profile: ProfileChoice }): Promise<string[]> {
  const { runtime } = from.profile.profile
  const wanted = [...preferredProviders(from), ...runtime.providers_on_request.map((name) => ({ name }))]
  const library = (await findLibrary(from))?.path
  const plugins = (await chooseProviderLibraries(from)).filter(({ path }) => existsSync(path))
  const present = await presentProviders(wanted, { library, plugins })
  return [...new Set([...present.map(({ name }) => name), 'cpu'])]
}

export interface OpenedRuntime {
  readonly backend: OrtBackend
  readonly profile: ProfileChoice
  /** Providers that the profile or the config prefers, and that are not there. */
  readonly missing: readonly string[]
  /** Undefined where nothing is kept. */
  readonly engines: EngineParts | undefined
}

interface RuntimeWanted {
  readonly config: Config
  readonly state: string
  /** Without it nothing is kept of models, and nothing looked for. */
  readonly engines?: EngineRole
}

export async function openRuntime(from: RuntimeWanted): Promise<OpenedRuntime> {
  const profile = await findProfile(from.config)
  const library = await chooseLibrary({ ...from, profile })
  const wanted = preferredProviders({ ...from, profile })
  const providerLibraries = await chooseProviderLibraries({ ...from, profile })
  const present = await presentProviders(wanted, { library: library.path, plugins: providerLibraries })
  const isShared = profile.profile.memory.unified
  const providers = isShared ? limitMemory(present, memoryBudget(from.config, profile)) : present
  const missing = wanted.map(({ name }) => name).filter((name) => !providers.some((one) => one.name === name))
  tell(profile, { library, missing })
  const threads = threadsOf(from.config, profile.profile)
  const engines = from.engines && (await openEngines({ ...from, profile }, from.engines))
  const { path: libraryPath } = library
  const backend = new OrtBackend({ libraryPath, threads, providers, providerLibraries, engines })
  return { backend, profile, missing, engines }
}

export async function openBackend(from: RuntimeWanted): Promise<OrtBackend> {
  return (await openRuntime(from)).backend
}

function tell(
  { profile, score, reason, unknown, generation }: ProfileChoice,
  { library, missing }: { library: LibraryChoice; missing: readonly string[] },
): void {
  const log = logger('app')
  const jetpack = generation?.jetpack
  log.info('app.profile', { profile: profile.name, score, reason, jetpack, library: library.path })
  if (unknown.length > 0) log.warn('app.board_unknown', { unknown, profile: profile.name })
  if (missing.length > 0) log.warn('app.providers_missing', { missing, library: library.path })
}

export function preferredProviders(from: {
  config: Config
  profile: ProfileChoice
}): readonly ProviderChoice[] {
  return from.config.runtime.providers ?? from.profile.profile.runtime.providers
}

export function threadsOf(config: Config, profile: Profile): number {
  const wanted = config.runtime.threads ?? profile.runtime.threads
  return wanted === 0 ? availableParallelism() : wanted
}

/** What all loaded versions together may take of the main memory; 0 is no bound. */
export function memoryBudget(config: Config, { profile, facts }: ProfileChoice): number {
  const wanted = config.models.memory_bytes_max
  return wanted ?? Math.floor(profile.memory.share_max * (facts.memoryBytes || totalmem()))
}

/** Where a GPU shares the memory, what models may take of it bounds each of them there too; 0 is no bound. */
export function limitMemory(providers: readonly ProviderChoice[], bytesMax: number): ProviderChoice[] {
  const limit: Record<string, string> = bytesMax === 0 ? {} : { gpu_mem_limit: String(bytesMax) }
  return providers.map((choice) => {
    const isCuda = providerFullName(choice.name) === providerFullName('cuda')
    return isCuda ? { ...choice, options: { ...limit, ...choice.options } } : choice
  })
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** A model's settings in the words of the runtime; providers that they leave open are the device's. */
export function sessionOptions(id: string, settings: ModelSettings): SessionOptions {
  const { session } = settings
  return {
    id,
    providers: session.providers,
    threadsIntraOp: session.intra_op_threads,
    threadsInterOp: session.inter_op_threads,
    executionMode: session.execution_mode,
    graphOptimization: session.graph_optimization,
    engineCache: session.engine_cache ? 'keep' : 'off',
    memoryArena: session.memory_arena,
    memoryPattern: session.memory_pattern,
    freeDimensions: session.free_dimensions,
    configEntries: session.config_entries,
    batchSizeMax: settings.max_batch_size,
    gpu: session.gpu && gpuSettings(session.gpu),
  }
}

function gpuSettings(gpu: NonNullable<ModelSettings['session']['gpu']>): GpuSettings {
  return {
    device: gpu.device,
    precision: gpu.precision,
    calibrationTable: gpu.calibration_table,
    dlaCore: gpu.dla_core,
    workspaceBytesMax: gpu.workspace_bytes_max,
    memoryBytesMax: gpu.memory_bytes_max,
    subgraphNodesMin: gpu.subgraph_nodes_min,
    builderLevel: gpu.builder_level,
    layout: gpu.layout,
    convolutionSearch: gpu.convolution_search,
    tf32: gpu.tf32,
    bindsMemory: gpu.io_binding,
    cudaGraph: gpu.cuda_graph,
    shapes: gpu.shapes,
  }
}
