import { access } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { ModelSettings } from '../config/model-settings.ts'
import { chooseProfile, type Profile } from '../config/profile.ts'
import { unpackEmbedded } from '../kit/embedded-file.ts'
import type { SessionOptions } from '../runtime/backend.ts'
import { OrtBackend } from '../runtime/ort-backend.ts'
import { EMBEDDED } from './embedded.ts'

export interface LibraryChoice {
  readonly path: string
  /** Why this one, for doctor. */
  readonly reason: string
}

/** The config's library, else the first of the profile's that is there, else the one inside the binary. */
export async function chooseLibrary(from: {
  config: Config
  profile: Profile
  state: string
}): Promise<LibraryChoice> {
  const { library } = from.config.runtime
  if (library !== undefined) return { path: library, reason: 'runtime.library in the config' }
  for (const path of from.profile.runtime.libraries) {
    const isThere = await access(path).then(
      () => true,
      () => false,
    )
    if (isThere) return { path, reason: `firmware profile "${from.profile.name}"` }
  }
  return {
    path: await unpackEmbedded(EMBEDDED.onnxruntime, unpackFolder(from.state)),
    reason: 'inside the binary',
  }
}

export function unpackFolder(state: string): string {
  return join(state, 'unpacked')
}

export async function openBackend(from: { config: Config; state: string }): Promise<OrtBackend> {
  const { profile } = chooseProfile({ architecture: process.arch })
  const library = await chooseLibrary({ ...from, profile })
  return new OrtBackend({ libraryPath: library.path, threads: threadsOf(from.config) })
}

function threadsOf(config: Config): number {
  return config.runtime.threads === 0 ? availableParallelism() : config.runtime.threads
}

/** A model's settings in the words of the runtime; what they leave open is the profile's. */
export function sessionOptions(id: string, settings: ModelSettings): SessionOptions {
  const { session } = settings
  const { profile } = chooseProfile({ architecture: process.arch })
  return {
    id,
    providers: session.providers ?? profile.runtime.providers.map((name) => ({ name, options: {} })),
    threadsIntraOp: session.intra_op_threads,
    threadsInterOp: session.inter_op_threads,
    executionMode: session.execution_mode,
    graphOptimization: session.graph_optimization,
    memoryArena: session.memory_arena,
    memoryPattern: session.memory_pattern,
    freeDimensions: session.free_dimensions,
    configEntries: session.config_entries,
  }
}
