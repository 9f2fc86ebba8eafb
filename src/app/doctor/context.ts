import { connect } from 'node:net'
import type { Config } from '../../config/config.ts'
import type { Environment } from '../../config/environment.ts'
import type { Files } from '../../health/files.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Enrolment } from '../agent/enrolment.ts'
import type { DeviceFolders } from '../agent/folders.ts'
import { Status } from '../agent/status.ts'
import { readTls } from '../agent/tls.ts'
import { type EndpointFacts, endpointOf, tryEndpoint } from './endpoint.ts'

export interface DoctorOptions {
  readonly models: string | undefined
  readonly config: string | undefined
  readonly state: string | undefined
  /** Nobody is asked over the network. */
  readonly offline: boolean
  /** What one look may take, at most. */
  readonly seconds: number
}

interface AgentAnswer {
  readonly isThere: boolean
  /** Undefined where it is not understood, or none is there. */
  readonly status: Status | undefined
}

/** What the looks begin with. */
export interface Context {
  readonly options: DoctorOptions
  readonly environment: Environment
  readonly config: Config
  readonly state: string
  readonly folders: DeviceFolders
  /** Undefined where the device is not enrolled, or its enrolment cannot be read. */
  readonly enrolment: Enrolment | undefined
  /** Why it cannot be read; "" where it can, or there is none. */
  readonly enrolmentProblem: string
  /** Whether an agent runs, and what it says of itself. Asked once. */
  readonly agent: () => Promise<AgentAnswer>
  /** The registry and its broker, as far as the network leads; none with --offline or without an enrolment. Tried once. */
  readonly endpoints: () => Promise<readonly EndpointFacts[]>
  /** The kernel's files. */
  readonly files: Files
  readonly clock: Clock
  /** Ends what takes too long. */
  readonly signal: AbortSignal
}

type Bare = Omit<Context, 'agent' | 'endpoints'>

/** What several looks want to know is found out once, when the first of them asks. */
export function withAnswers(bare: Bare): Context {
  return { ...bare, agent: once(() => askAgent(bare)), endpoints: once(() => tryEndpoints(bare)) }
}

function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | undefined
  return () => {
    asked ??= ask()
    return asked
  }
}

/** What one answer may take: a look asks two or three times. */
export function answerMs({ seconds }: DoctorOptions): number {
  return 400 * seconds
}

/** There is one unless it is certain that there is none: it may hang, be of another version, or belong to somebody else. */
async function askAgent({ folders, options, signal }: Bare): Promise<AgentAnswer> {
  if (await isDeaf(folders.agentSocket)) return { isThere: false, status: undefined }
  try {
    const answer = await fetch('http://localhost/status', {
      unix: folders.agentSocket,
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs(options))]),
    })
    return { isThere: true, status: Status.parse(await answer.json()) }
  } catch {
    return { isThere: true, status: undefined }
  }
}

/** No socket there, or one that nobody listens at any more. */
function isDeaf(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect({ path })
  socket.once('connect', () => resolve(false))
  socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(DEAF.has(code ?? '')))
  return promise.finally(() => socket.destroy())
}

const DEAF: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ECONNREFUSED'])

/** Three of them fit into the time of a look. */
const STEP_SHARE = 0.3

async function tryEndpoints({
  enrolment,
  config,
  options,
  clock,
  signal,
}: Bare): Promise<readonly EndpointFacts[]> {
  if (enrolment === undefined || options.offline) return []
  const { mqtt_url: mqttUrl = enrolment.mqtt_url } = config.registry
  const tls = await readTls(config.registry).catch(() => ({}))
  const tried = [endpointOf('registry', enrolment.registry), endpointOf('broker', mqttUrl)]
  return await Promise.all(
    tried.map((endpoint) =>
      tryEndpoint(endpoint, { tls, clock, signal, stepMsMax: STEP_SHARE * 1000 * options.seconds }),
    ),
  )
}
