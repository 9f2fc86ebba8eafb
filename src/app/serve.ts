import { join } from 'node:path'
import type { Capture } from '../capture/capture.ts'
import { Sketches } from '../capture/sketches.ts'
import { Watch } from '../capture/watch.ts'
import { type Config, loadConfig } from '../config/config.ts'
import { readEnvironment } from '../config/environment.ts'
import type { ProfileChoice } from '../config/profile-choice.ts'
import { type AppOptions, createHandler } from '../http/app.ts'
import type { BoardState } from '../http/board-metrics.ts'
import { Codec } from '../http/codec.ts'
import { SharedRegions } from '../http/shared-regions.ts'
import { createTraceWriter } from '../http/trace-file.ts'
import { Tracer } from '../http/tracer.ts'
import { Engine } from '../inference/engine.ts'
import { Ensembles } from '../inference/ensemble/ensembles.ts'
import { Lanes } from '../inference/lanes.ts'
import { retryProviders } from '../inference/provider-retry.ts'
import { ResponseCache } from '../inference/response-cache.ts'
import { systemClock } from '../kit/clock.ts'
import { logger, setLogLevel } from '../kit/log.ts'
import { systemRandom } from '../kit/random.ts'
import type { EngineParts } from '../runtime/kept-sessions.ts'
import { boundReceiving } from '../runtime/receive-buffer.ts'
import { lookAtModels } from '../store/model-changes.ts'
import { SentModels } from '../store/sent-files.ts'
import { isEnrolled } from './agent/enrolment.ts'
import { availableBytes } from './available-memory.ts'
import { BUILD } from './build-info.ts'
import { CAPTURE_PATH, captureFamilies, captureHandler, openCapture } from './capture.ts'
import { engineFamilies } from './engines.ts'
import { exampleCurl } from './example.ts'
import { keepLogOf } from './keep-log.ts'
import { waitForStop } from './lifecycle.ts'
import { listenTcp, listenUnix } from './listen.ts'
import { watchLoopDelay } from './loop-delay.ts'
import { watchMachine } from './machine.ts'
import { allowControl } from './model-control.ts'
import { ModelRepository } from './model-repository.ts'
import { pollModels } from './poll-models.ts'
import { readRestrictions } from './restrictions.ts'
import { memoryBudget, type OpenedRuntime, openRuntime } from './runtime.ts'
import { shedHeat } from './shed-heat.ts'
import { sketchFamilies } from './sketches.ts'

export interface ServeOptions {
  readonly models: string
  readonly host: string | undefined
  readonly port: number | undefined
  readonly config: string | undefined
  readonly state: string | undefined
  /** Besides http.unix_socket of the config, which counts first. */
  readonly unixSocket?: string | undefined
}

/** The data plane: loads the models, answers HTTP until it is told to stop. */
export async function runServe(options: ServeOptions, print: (line: string) => void): Promise<void> {
  const log = logger('app')
  const environment = readEnvironment()
  const config = await loadConfig(options.config ?? environment.config)
  setLogLevel(config.log_level)
  const state = options.state ?? environment.state
  if (environment.isSupervised && (await isEnrolled(state))) keepLogOf('serve', state)
  // From here on a signal means a clean stop, also while models are loading.
  const stop = waitForStop(environment)

  const { backend, profile, missing, engines } = await openRuntime({ config, state, engines: 'keeper' })
  const lanes = createLanes(config, { backend, profile })
  const engine = new Engine({
    lanes,
    requestsMax: config.inference.requests_max,
    bytesMax: config.inference.bytes_max,
  })
  const repository = new ModelRepository({
    root: options.models,
    lanes,
    ensembles: new Ensembles({ lanes, clock: systemClock }),
    queueItemsMax: config.inference.queue_items_max,
    warmUpMsMax: config.models.warmup_seconds_max * 1000,
    sent: await keepSent(state),
  })
  // Before the models are loaded: engines may take minutes to build, and until then the box is alive, if not ready.
  let isStarted = false
  const tracer = createTracer(config, state)
  const codec = new Codec()
  const capture = await openCapture(config, { state, settings: (model) => repository.settings(model) })
  const parts = { engine, repository, tracer, codec, capture, engines }
  const board = describeBoard(profile, missing)
  const app = await describeApp(config, { ...parts, board, isStarted: () => isStarted })
  const steer = steerCapture(capture, { config, lanes })
  const server = await listen(config.http, app, { ...options, steer })
  const stopping = new AbortController()
  void shedHeat({ config, profile: profile.profile, engine, clock: systemClock, stop: stopping.signal })
  // What is wrong with the folder itself is said when it is read.
  const loaded = await lookAtModels(options.models).catch(() => new Map<string, string>())
  await repository.loadAll()
  isStarted = true
  void engines?.cache.trim()
  const again = { clock: systemClock, stop: stopping.signal }
  if (config.models.control === 'poll') {
    const everyMs = config.models.poll_seconds * 1000
    void pollModels({ root: options.models, repository, everyMs, loaded, ...again })
  }
  void retryProviders({ lanes, ...again })
  announce(new URL(config.http.base_path, server.url), lanes, print)
  log.info('app.serving', { url: server.url.href, runtime: backend.name, threads: backend.threads })

  const reason = await stop
  log.info('app.stopping', { reason })
  stopping.abort()
  await server.stop()
  await tracer.close()
  // Answers of clients that have gone may still be in the writing: their lanes wait for the codec.
  await lanes.close()
  codec.stop()
  await capture.close()
  await backend.stop()
  log.info('app.stopped')
}

function createLanes(
  config: Config,
  { backend, profile }: Pick<OpenedRuntime, 'backend' | 'profile'>,
): Lanes {
  return new Lanes({
    backend,
    clock: systemClock,
    runsMax: backend.threads,
    cache: createCache(config),
    servesMeanwhile: config.engine_cache.serve_meanwhile,
    memory: { bytesMax: memoryBudget(config, profile), availableBytes },
    wait: {
      waitMsMax: config.models.load_wait_seconds_max * 1000,
      waitItemsMax: config.models.load_wait_items_max,
    },
  })
}

function steerCapture(capture: Capture, { config, lanes }: { config: Config; lanes: Lanes }) {
  return captureHandler(capture, {
    path: `${config.http.base_path}${CAPTURE_PATH}`,
    isAllowed: config.capture.allowed,
    isKnown: (name) => lanes.index().some(({ model }) => model === name),
  })
}

function createTracer({ http }: Config, state: string): Tracer {
  const path = http.trace_file ?? join(state, 'trace.json')
  return new Tracer({ path, clock: systemClock, write: createTraceWriter() })
}

function describeBoard(
  { profile, unknown, generation }: ProfileChoice,
  missing: readonly string[],
): BoardState {
  return { profile: profile.name, jetpack: generation?.jetpack ?? '', unknown: unknown.length, missing }
}

function createCache({ inference }: Config): ResponseCache | undefined {
  return inference.cache_bytes_max === 0 ? undefined : new ResponseCache(inference.cache_bytes_max)
}

/** What an earlier process left behind, killed while it loaded, goes. */
async function keepSent(state: string): Promise<SentModels> {
  const sent = new SentModels(join(state, 'sent'))
  // Where nothing can be removed nothing can be kept either, which a load will say.
  await sent.clear().catch(() => undefined)
  return sent
}

/** On TCP, and on a socket in the file system where the config names one. */
async function listen(
  config: Config['http'],
  parts: AppOptions,
  options: ServeOptions & { readonly steer: ReturnType<typeof captureHandler> },
) {
  const handle = createHandler(parts)
  const at = { hostname: options.host ?? config.host, port: options.port ?? config.port }
  const tcp = listenTcp(at, handle)
  // Large bodies are read as well without it, only longer in one turn.
  if (boundReceiving(tcp.port ?? 0) === 0)
    logger('app').warn('app.receive_buffer_unbounded', { url: tcp.url })
  const path = config.unix_socket ?? options.unixSocket
  if (path === undefined) return { url: tcp.url, stop: () => tcp.stop() }
  const unix = await listenUnix(path, (request) => options.steer(request) ?? handle(request))
  return { url: tcp.url, stop: () => Promise.all([tcp.stop(), unix.stop()]) }
}

async function describeApp(
  { http: config, models: { control } }: Config,
  from: {
    engine: Engine
    repository: ModelRepository
    tracer: Tracer
    codec: Codec
    capture: Capture
    isStarted: () => boolean
    board: BoardState
    engines: EngineParts | undefined
  },
): Promise<AppOptions> {
  const { engine, repository, tracer, codec, capture, isStarted, board, engines } = from
  const sketches = new Sketches({
    percentOf: (model) => repository.settings(model)?.drift?.percent ?? 0,
    random: systemRandom,
  })
  return {
    engine,
    serverName: config.server_name,
    serverVersion: BUILD.version,
    bodyBytesMax: config.body_bytes_max,
    codec,
    loopDelay: watchLoopDelay(systemClock),
    machine: watchMachine(systemClock),
    board,
    isStarted,
    control: allowControl(repository, control),
    clientHints: (model) => repository.settings(model)?.client,
    configured: (model) => repository.settings(model),
    labels: (model, output) => repository.labels(model, output),
    basePath: config.base_path,
    restrictions: await readRestrictions(config.restricted),
    regions: config.shared_memory ? new SharedRegions() : undefined,
    tracer,
    watch: new Watch({ capture, sketches }),
    moreMetrics: () => [
      ...captureFamilies(capture.snapshot),
      ...sketchFamilies(sketches),
      ...engineFamilies(engines),
    ],
  }
}

function announce(base: URL, lanes: Lanes, print: (line: string) => void): void {
  const index = lanes.index()
  const url = base.href.replace(/\/$/, '')
  const ready = index.filter(({ state }) => state === 'READY')
  print(`limpet ${BUILD.version} serves ${ready.length} of ${index.length} models on ${url}`)
  for (const { model, version, state, reason } of index) {
    print(`  ${model}${version === '' ? '' : ` ${version}`}: ${state}${reason === '' ? '' : `: ${reason}`}`)
  }
  print(
    `  try: ${exampleCurl(
      url,
      ready.map(({ model, version }) => lanes.find(model, version)),
    )}`,
  )
}
