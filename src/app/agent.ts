import { mkdir } from 'node:fs/promises'
import { setPriority, uptime } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../config/config.ts'
import { readEnvironment } from '../config/environment.ts'
import { systemClock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger, setLogLevel } from '../kit/log.ts'
import { systemRandom } from '../kit/random.ts'
import { Agent } from './agent/agent.ts'
import { listenControl } from './agent/control-socket.ts'
import { openDisk } from './agent/disk.ts'
import { readEnrolment } from './agent/enrolment.ts'
import { firstContactMs } from './agent/first-contact.ts'
import { deviceFolders } from './agent/folders.ts'
import { openHost } from './agent/hardware.ts'
import { openLink } from './agent/open-link.ts'
import { ServeClient } from './agent/serve-client.ts'
import { keepLogOf } from './keep-log.ts'
import { waitForStop } from './lifecycle.ts'
import { readRestrictions } from './restrictions.ts'

export interface AgentOptions {
  readonly config: string | undefined
  readonly state: string | undefined
  /** Models that came with the device. */
  readonly builtIn: string | undefined
}

const NICE = 10

/** The control plane: keeps the models in step with what the registry assigns, until it is told to stop. */
export async function runAgent(options: AgentOptions): Promise<void> {
  const environment = readEnvironment()
  const config = await loadConfig(options.config ?? environment.config)
  setLogLevel(config.log_level)
  const log = logger('ota')
  giveWay()
  const stopping = new AbortController()
  void waitForStop(environment).then((reason) => stopping.abort(reason))
  const folders = deviceFolders(options.state ?? environment.state, config)
  const enrolment = await readEnrolment(folders.state)
  if (enrolment === undefined) {
    throw new EdgeError(
      'config_invalid',
      `Cannot run the agent: "${folders.state}" holds no enrolment; run "limpet enrol --registry URL --token TOKEN"`,
    )
  }
  keepLogOf('agent', folders.state)
  await mkdir(folders.models, { recursive: true })
  const host = await openHost(config)
  const disk = await openDisk(folders, {
    clock: systemClock,
    builtIn: options.builtIn,
    outboxBytesMax: config.health.outbox_bytes_max,
  })
  const line = await openLink({ enrolment, config, disk, clock: systemClock })
  const restrictions = await readRestrictions(config.http.restricted)
  const serve = new ServeClient({
    socket: folders.serveSocket,
    basePath: config.http.base_path,
    headers: Object.fromEntries(restrictions.map(({ header, value }) => [header, value])),
    clock: systemClock,
    folder: (of) => disk.versions.folder(of),
  })
  const agent = new Agent({
    config,
    options,
    enrolment,
    folders,
    host,
    disk,
    line,
    serve,
    clock: systemClock,
    firstContactMs: firstContactMs({
      upSeconds: uptime(),
      secondsMax: environment.callsAtOnce ? 0 : config.registry.first_contact_seconds_max,
      random: systemRandom,
    }),
    stop: stopping.signal,
  })
  const control = await listenControl(folders.agentSocket, agent)
  log.info('ota.agent_started', { device: enrolment.device, registry: enrolment.registry })
  try {
    await agent.run()
  } catch (error) {
    log.error('ota.agent_broken', { reason: messageOf(error) })
    throw error
  } finally {
    await control.stop(true)
    disk.database.close()
  }
  log.info('ota.agent_stopped')
}

/** What is served goes first, whatever is brought, hashed or unpacked here. */
function giveWay(): void {
  try {
    setPriority(NICE)
  } catch (error) {
    logger('ota').warn('ota.priority_kept', { reason: messageOf(error) })
  }
}

/** Where the agent's own files are. */
export function agentSocketOf(state: string): string {
  return join(state, 'agent.sock')
}
