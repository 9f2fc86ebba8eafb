import { access } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Config, loadConfig } from '../../config/config.ts'
import { readEnvironment } from '../../config/environment.ts'
import type { ProfileChoice } from '../../config/profile-choice.ts'
import { messageOf } from '../../kit/errors.ts'
import { setLogLevel } from '../../kit/log.ts'
import { findNamed, type LinkerWorld } from '../../runtime/linker/closure.ts'
import { machineLinker } from '../../runtime/linker/machine-linker.ts'
import { OrtBackend } from '../../runtime/ort-backend.ts'
import { isCpu, PROVIDER_LIBRARIES } from '../../runtime/providers.ts'
import { EMBEDDED } from '../embedded.ts'
import { findProfile } from '../profile.ts'
import {
  chooseProviderLibraries,
  findLibrary,
  type LibraryChoice,
  libraryPlaces,
  preferredProviders,
  presentProviders,
} from '../runtime.ts'
import { type Check, checksOf } from './check.ts'
import type { DoctorOptions } from './context.ts'
import { borrowEmbedded } from './embedded.ts'
import { lookAtGpus } from './gpu.ts'
import { judgeGpus } from './judge-gpu.ts'
import { inspectLibrary, isLoadable, judgeLibraries, type LibraryFacts, ONNXRUNTIME } from './libraries.ts'
import { cudaMajorOf } from './library-words.ts'
import { examineModels } from './models.ts'
import { judgePlugins } from './plugins.ts'
import { judgeProviders } from './providers.ts'

type Say = (checks: readonly Check[]) => void

/**
 * The part of the doctor that reads and loads what others have built: in a process of its own, because a library may
 * crash or hang whoever touches it. What is known is said at once.
 */
export async function lookByLoading(options: DoctorOptions, say: Say): Promise<void> {
  setLogLevel('silent')
  const environment = readEnvironment()
  const config = await loadConfig(options.config ?? environment.config)
  // What is wrong with it stands under its own topic.
  const profile = await findProfile(config).catch(() => undefined)
  if (profile === undefined) return
  const state = options.state ?? environment.state
  const world = machineLinker({ libraryPath: environment.libraryPath })
  const library = (await findLibrary({ config, profile })) ?? {
    path: await borrowEmbedded(EMBEDDED.onnxruntime, state),
    reason: 'inside the binary',
  }
  const libraries = await inspectAll({ config, profile, library, world })
  say(judgeLibraries(libraries))
  say(await examineGpus({ config, profile, library, libraries, world }))
  const isKnownBad = libraries.some((one) => one.use === 'chosen' && !isLoadable(one))
  const backend = await load({ config, profile, library }, { isKnownBad, say })
  if (backend === undefined) return
  const { providers, libraries: plugins } = backend.ort
  say(judgeProviders({ built: providers, libraries, plugins: plugins.map(({ name }) => name) }))
  say(judgePlugins(plugins))
  if (options.models !== undefined) await examineModels(options.models, { config, backend, say })
  await backend.stop()
}

interface Looked {
  readonly config: Config
  readonly profile: ProfileChoice
  readonly library: LibraryChoice
}

/** What serves, the files of its providers, and what else the profile would take. */
async function inspectAll({
  config,
  profile,
  library,
  world,
}: Looked & { world: LinkerWorld }): Promise<LibraryFacts[]> {
  const chosen = { name: ONNXRUNTIME, path: library.path, why: library.reason, use: 'chosen' } as const
  const others = libraryPlaces(profile).filter((path) => path !== library.path)
  const spare = await Promise.all(others.map(async (path) => ((await isThere(path)) ? [path] : [])))
  return [
    inspectLibrary(chosen, world),
    ...spare
      .flat()
      .map((path) =>
        inspectLibrary(
          { name: ONNXRUNTIME, path, why: 'not taken: another one comes first', use: 'spare' },
          world,
        ),
      ),
    ...(await listProviderFiles({ config, profile, library })).map((file) => inspectLibrary(file, world)),
  ]
}

/** Files beside ONNX Runtime, and plug-ins wherever they are; those that are not there are told of elsewhere. */
async function listProviderFiles({ config, profile, library }: Looked) {
  const named = new Set((config.runtime.providers ?? []).map(({ name }) => name))
  const wanted = new Set(preferredProviders({ config, profile }).map(({ name }) => name))
  const files = Object.entries(PROVIDER_LIBRARIES).map(([name, file]) => {
    const use = named.has(name) ? 'named' : wanted.has(name) ? 'wanted' : 'spare'
    const why = {
      named: 'runtime.providers in the config',
      wanted: 'the firmware profile prefers it',
      spare: 'beside ONNX Runtime',
    }[use]
    return { name, path: join(dirname(library.path), file), why, use } as const
  })
  const isNamed = config.runtime.provider_libraries !== undefined
  const plugins = (await chooseProviderLibraries({ config, profile })).map(({ name, path }) => {
    const why = isNamed ? 'runtime.provider_libraries in the config' : 'the firmware profile knows its place'
    return { name, path, why, use: isNamed ? 'named' : 'wanted' } as const
  })
  const all = [...files, ...plugins]
  const present = await Promise.all(all.map(({ path }) => isThere(path)))
  return all.filter((_, index) => present[index])
}

async function examineGpus(
  looked: Looked & { libraries: readonly LibraryFacts[]; world: LinkerWorld },
): Promise<Check[]> {
  const { config, profile, library, libraries, world } = looked
  const isNamed = (config.runtime.providers ?? []).some(({ name }) => !isCpu(name))
  const libcuda = findNamed('libcuda.so.1', { by: library.path, world })
  const cudaWanted = libraries.map(cudaOf).find((wanted) => wanted !== undefined)
  return judgeGpus(
    await lookAtGpus(profile, { factsRoot: config.profile.facts_root, libcuda, cudaWanted, isNamed }),
  )
}

function cudaOf({ name, closure }: LibraryFacts): { major: number; by: string } | undefined {
  if (typeof closure === 'string') return undefined
  const major = cudaMajorOf([...closure.found, ...closure.missing].map((each) => each.name))
  return major === undefined ? undefined : { major: Number(major), by: `the library of provider ${name}` }
}

/** Tried all the same where the linker's view is bad: it is what counts. */
async function load(
  looked: Looked,
  { isKnownBad, say }: { isKnownBad: boolean; say: Say },
): Promise<OrtBackend | undefined> {
  const { library } = looked
  const { ok, note, fault } = checksOf('runtime')
  try {
    const providerLibraries = await chooseProviderLibraries(looked)
    const present = { library: library.path, plugins: providerLibraries }
    const providers = await presentProviders(preferredProviders(looked), present)
    const backend = new OrtBackend({ libraryPath: library.path, threads: 1, providers, providerLibraries })
    const { version, apiVersion, logProblem } = backend.ort
    const facts = { version, api_version: apiVersion, path: library.path, reason: library.reason }
    say([
      ok(
        'loaded',
        `ONNX Runtime ${version}, C API ${apiVersion}, from "${library.path}" (${library.reason})`,
        { facts },
      ),
    ])
    if (logProblem !== undefined) say([note('log', `its log goes to standard error as it is: ${logProblem}`)])
    return backend
  } catch (error) {
    say([(isKnownBad ? note : fault)('unusable', messageOf(error), { facts: { path: library.path } })])
    return undefined
  }
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}
