import { readFile } from 'node:fs/promises'
import { arch, availableParallelism, cpus, freemem, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { type Config, loadConfig } from '../config/config.ts'
import { readEnvironment } from '../config/environment.ts'
import type { ModelSettings } from '../config/model-settings.ts'
import type { ProfileChoice } from '../config/profile-choice.ts'
import { GpuWatch } from '../health/gpu-watch.ts'
import { NVML_LIBRARY } from '../health/nvml.ts'
import { describeSpec } from '../inference/check.ts'
import { Ensembles } from '../inference/ensemble/ensembles.ts'
import { Lanes } from '../inference/lanes.ts'
import { systemClock } from '../kit/clock.ts'
import { openDatabase } from '../kit/database.ts'
import { unpackEmbedded } from '../kit/embedded-file.ts'
import { messageOf } from '../kit/errors.ts'
import { setLogLevel } from '../kit/log.ts'
import { describePlacement, idleProviders } from '../runtime/idle-providers.ts'
import { OrtBackend } from '../runtime/ort-backend.ts'
import { PROVIDER_LIBRARIES, PROVIDER_NAMES, providerFullName } from '../runtime/providers.ts'
import { BUILD } from './build-info.ts'
import { describeCapture } from './describe-capture.ts'
import { describeLibraries } from './describe-libraries.ts'
import { examineEngines } from './doctor-engines.ts'
import { examineProfile } from './doctor-profile.ts'
import { EMBEDDED } from './embedded.ts'
import { ModelRepository } from './model-repository.ts'
import { findProfile } from './profile.ts'
import {
  chooseLibrary,
  chooseProviderLibraries,
  preferredProviders,
  presentProviders,
  unpackFolder,
} from './runtime.ts'

export interface DoctorOptions {
  readonly models: string | undefined
  readonly config: string | undefined
  readonly state: string | undefined
}

/** One thing looked at. `bad` needs a person; `note` is worth knowing. */
export interface Finding {
  readonly topic:
    | 'machine'
    | 'config'
    | 'profile'
    | 'storage'
    | 'gpu'
    | 'runtime'
    | 'providers'
    | 'models'
    | 'capture'
    | 'engines'
  readonly verdict: 'good' | 'note' | 'bad'
  readonly what: string
}

/** Looks at everything that serving needs, and goes on after what is broken. */
export async function examine(options: DoctorOptions): Promise<Finding[]> {
  // The findings say it all, in one place.
  setLogLevel('silent')
  const findings: Finding[] = []
  const add = (topic: Finding['topic'], verdict: Finding['verdict'], what: string) =>
    void findings.push({ topic, verdict, what })
  const environment = readEnvironment()
  const state = options.state ?? environment.state

  add('machine', 'good', await describeMachine())
  const config = await attempt(
    () => loadConfig(options.config ?? environment.config),
    (what) => add('config', 'bad', what),
  )
  if (config === undefined) return findings
  add('config', 'good', options.config ?? environment.config ?? 'no file: all defaults')
  const profile = await attempt(
    () => findProfile(config),
    (what) => add('profile', 'bad', what),
  )
  if (profile === undefined) return findings
  examineProfile(profile, config, add)
  await examineGpus(add)
  await attempt(
    () => examineStorage(state, add),
    (what) => add('storage', 'bad', what),
  )
  await attempt(
    () =>
      describeCapture(state, config).then((what) =>
        what.forEach((line) => void add('capture', 'good', line)),
      ),
    (what) => add('capture', 'bad', what),
  )
  await attempt(
    () => examineEngines({ config, profile, state }, add),
    (what) => add('engines', 'bad', what),
  )
  await attempt(
    () => examineRuntime({ config, profile, state, models: options.models, add }),
    (what) => add('runtime', 'bad', what),
  )
  return findings
}

export type Add = (topic: Finding['topic'], verdict: Finding['verdict'], what: string) => void

async function attempt<T>(look: () => Promise<T>, onFailure: (what: string) => void): Promise<T | undefined> {
  try {
    return await look()
  } catch (error) {
    onFailure(messageOf(error))
    return undefined
  }
}

async function describeMachine(): Promise<string> {
  const model = cpus()[0]?.model ?? 'unknown processor'
  const board = await readFile('/proc/device-tree/model', 'utf8').catch(() => '')
  const system = (await readFile('/etc/os-release', 'utf8').catch(() => '')).match(
    /^PRETTY_NAME="?([^"\n]*)/m,
  )?.[1]
  return [
    `limpet ${BUILD.version} (${BUILD.commit})`,
    ...(board === '' ? [] : [board.replaceAll('\0', '')]),
    `${arch()}, ${model}, ${availableParallelism()} cores`,
    `${gib(totalmem())} memory, ${gib(freemem())} free`,
    `${system ?? 'unknown system'}, kernel ${release()}`,
  ].join('; ')
}

/** None is no fault: most boxes have none that NVIDIA's library knows. */
async function examineGpus(add: Add): Promise<void> {
  const watch = new GpuWatch({ library: NVML_LIBRARY, clock: systemClock })
  const gpus = await watch.sample()
  for (const { uuid, memoryBytesTotal } of gpus)
    add(
      'gpu',
      'good',
      `${uuid}, ${memoryBytesTotal === undefined ? 'memory unknown' : gib(memoryBytesTotal)}`,
    )
  if (gpus.length === 0) add('gpu', 'note', `no NVIDIA GPU: ${watch.problem ?? 'the driver knows none'}`)
  watch.stop()
}

const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`

async function examineStorage(state: string, add: Add): Promise<void> {
  const addonPath = await unpackEmbedded(EMBEDDED.sqlite, unpackFolder(state))
  const database = openDatabase({ addonPath, path: ':memory:' })
  const version = database.prepare('select sqlite_version() as version').get() as { version: string }
  database.close()
  add('storage', 'good', `state in "${state}", SQLite ${version.version} opens`)
}

async function examineRuntime(from: {
  config: Config
  profile: ProfileChoice
  state: string
  models: string | undefined
  add: Add
}): Promise<void> {
  const library = await chooseLibrary(from)
  const providerLibraries = await chooseProviderLibraries(from)
  const present = { library: library.path, plugins: providerLibraries }
  const providers = await presentProviders(preferredProviders(from), present)
  const backend = new OrtBackend({ libraryPath: library.path, threads: 1, providers, providerLibraries })
  const { ort } = backend
  from.add(
    'runtime',
    'good',
    `ONNX Runtime ${ort.version}, C API ${ort.apiVersion}, from "${library.path}" (${library.reason})`,
  )
  if (ort.logProblem !== undefined)
    from.add('runtime', 'note', `its log goes to standard error as it is: ${ort.logProblem}`)
  for (const name of PROVIDER_NAMES) from.add('providers', ...describeProvider(name, backend))
  for (const line of describeLibraries(ort.libraries)) from.add('providers', ...line)
  if (from.models !== undefined) await examineModels(from.models, { ...from, backend })
  await backend.stop()
}

function describeProvider(name: string, { ort }: OrtBackend): [Finding['verdict'], string] {
  if (!ort.providers.includes(providerFullName(name))) {
    return ['note', `${name}: not available: this libonnxruntime was built without it`]
  }
  const library = PROVIDER_LIBRARIES[name]
  if (library === undefined) return ['good', `${name}: available`]
  const path = join(ort.libraryPath, '..', library)
  const isThere = Bun.file(path).size > 0
  return isThere
    ? ['good', `${name}: available through "${path}"`]
    : [
        'note',
        `${name}: not available: there is no "${path}"; point runtime.library at a GPU build of ONNX Runtime`,
      ]
}

const UNPLACED = 'not known: ONNX Runtime tells which provider has which nodes from 1.24 on'

/** What the model wishes and the device does not give it. */
const UNCACHED =
  'response_cache is true, but the device keeps no answers: set inference.cache_bytes_max above 0'

async function examineModels(
  root: string,
  from: { config: Config; backend: OrtBackend; add: Add },
): Promise<void> {
  const { config, backend, add } = from
  const warmUpMsMax = config.models.warmup_seconds_max * 1000
  const lanes = new Lanes({ backend, clock: systemClock, runsMax: 1 })
  const ensembles = new Ensembles({ lanes, clock: systemClock })
  const more = { queueItemsMax: 1, warmUpMsMax, isEager: true }
  const repository = new ModelRepository({ root, lanes, ensembles, ...more })
  const isRead = await attempt(
    () => repository.loadAll().then(() => true),
    (what) => add('models', 'bad', what),
  )
  if (isRead === undefined) return
  const index = lanes.index()
  if (index.length === 0) add('models', 'bad', `"${root}" holds no model, expected NAME/VERSION/model.onnx`)
  for (const { model, version, state, reason } of index) {
    if (state !== 'READY') {
      add('models', 'bad', `${model}${version === '' ? '' : ` ${version}`}: ${reason}`)
      continue
    }
    const { session, memory } = lanes.find(model, version)
    const { signature, refusals, placement } = session
    const specs = (list: typeof signature.inputs) =>
      list.map((spec) => `${spec.name} ${describeSpec(spec)}`).join(', ')
    add('models', 'good', `${model} ${version}: ${specs(signature.inputs)} → ${specs(signature.outputs)}`)
    add(
      'models',
      'good',
      `${model} ${version}: ${describeLife(memory.bytes, repository.settings(model))}, on ${session.providers.join(', ')}`,
    )
    const placed = placement === undefined ? UNPLACED : describePlacement(placement)
    add('models', placement === undefined ? 'note' : 'good', `${model} ${version}: placement: ${placed}`)
    for (const provider of idleProviders(session))
      add('models', 'note', `${model} ${version}: ${provider} took it and runs none of its nodes`)
    for (const { provider, reason: why } of refusals)
      add('models', 'note', `${model} ${version}: does not run on ${provider}, which refused it: ${why}`)
    const isUncached = repository.settings(model)?.response_cache && config.inference.cache_bytes_max === 0
    if (isUncached) add('models', 'note', `${model} ${version}: ${UNCACHED}`)
  }
  await lanes.close()
}

/** What it takes, and how it comes and goes. */
function describeLife(bytes: number, settings: ModelSettings | undefined): string {
  const { swap = 'auto', pinned = false, on_demand = false } = settings ?? {}
  const words = [`${(bytes / 1e6).toFixed(1)} MB`, `swap ${swap}`]
  return [...words, ...(pinned ? ['pinned'] : []), ...(on_demand ? ['on demand'] : [])].join(', ')
}

/** True when nothing is bad. */
export function printFindings(
  findings: readonly Finding[],
  options: { json: boolean; print: (line: string) => void },
): boolean {
  const isHealthy = findings.every(({ verdict }) => verdict !== 'bad')
  if (options.json) options.print(JSON.stringify({ healthy: isHealthy, findings }, undefined, 2))
  else {
    const marks = { good: '  ok ', note: 'note ', bad: ' BAD ' } as const
    for (const { topic, verdict, what } of findings)
      options.print(`${marks[verdict]} ${topic.padEnd(9)} ${what}`)
    options.print(
      isHealthy ? 'Everything that serving needs is in order' : 'Something needs a person: see BAD above',
    )
  }
  return isHealthy
}
