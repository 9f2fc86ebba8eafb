import type { Server } from 'bun'
import { type Config, loadConfig } from '../config/config.ts'
import { readEnvironment } from '../config/environment.ts'
import { createHandler } from '../http/app.ts'
import { Engine } from '../inference/engine.ts'
import { Lanes } from '../inference/lanes.ts'
import { systemClock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger, setLogLevel } from '../kit/log.ts'
import { BUILD } from './build-info.ts'
import { exampleCurl } from './example.ts'
import { waitForStop } from './lifecycle.ts'
import { loadModels } from './load-models.ts'
import { openBackend } from './runtime.ts'

export interface ServeOptions {
  readonly models: string
  readonly host: string | undefined
  readonly port: number | undefined
  readonly config: string | undefined
  readonly state: string | undefined
}

/** A connection may be silent this long: a long run looks just like that. Bun's most. */
const IDLE_SECONDS_MAX = 255

/** The data plane: loads the models, answers HTTP until it is told to stop. */
export async function runServe(options: ServeOptions, print: (line: string) => void): Promise<void> {
  const log = logger('app')
  const environment = readEnvironment()
  const config = await loadConfig(options.config ?? environment.config)
  setLogLevel(config.log_level)
  // From here on a signal means a clean stop, also while models are loading.
  const stop = waitForStop(environment)

  const backend = await openBackend({ config, state: options.state ?? environment.state })
  const lanes = new Lanes({
    backend,
    clock: systemClock,
    runsMax: backend.threads,
  })
  const engine = new Engine({ lanes, requestsMax: config.inference.requests_max })
  // Before the models are loaded: engines may take minutes to build, and until then the box is alive, if not ready.
  let settings: Awaited<ReturnType<typeof loadModels>> | undefined
  const server = listen({
    options,
    config,
    engine,
    isStarted: () => settings !== undefined,
    clientHints: (model) => settings?.get(model)?.client,
  })
  settings = await loadModels(options.models, lanes, config.inference.queue_items_max)
  announce(server, lanes, print)
  log.info('app.serving', { url: server.url.href, runtime: backend.name, threads: backend.threads })

  const reason = await stop
  log.info('app.stopping', { reason })
  await server.stop()
  await lanes.close()
  await backend.stop()
  log.info('app.stopped')
}

function listen(from: {
  options: ServeOptions
  config: Config
  engine: Engine
  isStarted: () => boolean
  clientHints: (model: string) => unknown
}): Server<undefined> {
  const { http } = from.config
  const hostname = from.options.host ?? http.host
  const port = from.options.port ?? http.port
  const handle = createHandler({
    engine: from.engine,
    serverName: http.server_name,
    serverVersion: BUILD.version,
    bodyBytesMax: http.body_bytes_max,
    isStarted: from.isStarted,
    clientHints: from.clientHints,
  })
  try {
    return Bun.serve({
      hostname,
      port,
      idleTimeout: IDLE_SECONDS_MAX,
      // Ours answers with words; Bun's would close the connection without any before ours is asked.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch: handle,
    })
  } catch (cause) {
    throw new EdgeError(
      'config_invalid',
      `Cannot listen on ${hostname}:${port}: ${messageOf(cause)}; choose another with --port or http.port, 0 for any`,
      { cause },
    )
  }
}

function announce(server: Server<undefined>, lanes: Lanes, print: (line: string) => void): void {
  const index = lanes.index()
  const url = server.url.href.replace(/\/$/, '')
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
