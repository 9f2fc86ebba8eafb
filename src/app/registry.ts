import { join } from 'node:path'
import { readEnvironment } from '../config/environment.ts'
import { loadRegistryConfig, type RegistryConfig } from '../config/registry-config.ts'
import { systemClock } from '../kit/clock.ts'
import type { Database } from '../kit/database.ts'
import { logger, setLogLevel } from '../kit/log.ts'
import { systemRandom } from '../kit/random.ts'
import { Topics } from '../link/topics.ts'
import { makeFirstKey, openRegistry, type Registry } from '../registry/registry.ts'
import { BUILD } from './build-info.ts'
import { waitForStop } from './lifecycle.ts'
import { dutiesOf, keepDoing, syncConsul } from './registry/duties.ts'
import { requireKeys } from './registry/first-keys.ts'
import { listenHttp } from './registry/http.ts'
import { createService, startBroker } from './registry/line.ts'
import { applyOptions, type RegistryOptions } from './registry/settings.ts'
import { openRegistryDatabase } from './registry-database.ts'
import { lockRegistry } from './registry-lock.ts'
import { watchLoop } from './watchdog.ts'

type Print = (line: string) => void

const LOG = logger('registry')
const DAY_SECONDS = 86_400

/** The central side: holds what publishers have signed, says what devices should run, answers them. */
export async function runRegistry(options: RegistryOptions, print: Print): Promise<void> {
  const environment = readEnvironment()
  const config = applyOptions(await loadRegistryConfig(options.config), options)
  setLogLevel(config.log_level)
  const stop = waitForStop(environment)
  const folder = options.state ?? join(environment.state, 'registry')
  await requireKeys(folder, { devKeys: options.devKeys, print })

  const lock = await lockRegistry(folder)
  const database = await openRegistryDatabase(folder)
  const registry = await openParts(database, { config, folder })
  const firstKey = await makeFirstKey(registry.keys, folder)
  const running = await startRegistry(registry, { config, folder })
  if (firstKey !== undefined) print(`The first key, of role admin, is in ${firstKey}`)
  print(`limpet ${BUILD.version} registry on ${running.url}, MQTT on ${running.mqttUrl}`)
  LOG.info('registry.serving', { url: running.url, mqtt: running.mqttUrl })

  const watching = new AbortController()
  const watched = watchLoop(environment, watching.signal)
  LOG.info('registry.stopping', { reason: await stop })
  watching.abort()
  await watched
  await running.stop()
  database.close()
  lock.close()
  LOG.info('registry.stopped')
}

/** What it keeps, ready to sign. */
async function openParts(
  database: Database,
  { config, folder }: { config: RegistryConfig; folder: string },
): Promise<Registry> {
  const registry = await openRegistry({
    folder,
    database,
    clock: systemClock,
    random: systemRandom,
    telemetryLimits: {
      bytesMax: config.telemetry.bytes_max,
      minuteSeconds: config.telemetry.minutes_days * DAY_SECONDS,
      coarseSeconds: config.telemetry.ten_minutes_days * DAY_SECONDS,
    },
  })
  await registry.published.resign()
  await registry.director.readKey()
  registry.rollouts.needsSecondPerson = config.rollouts.approval === 'second_person'
  return registry
}

interface Running {
  readonly url: string
  readonly mqttUrl: string
  stop(): Promise<void>
}

/** HTTP and MQTT over one registry, and what it does by itself. */
async function startRegistry(
  registry: Registry,
  { config, folder }: { config: RegistryConfig; folder: string },
): Promise<Running> {
  const clock = systemClock
  const topics = new Topics(config.mqtt.prefix)
  const service = createService(registry, topics)
  const broker = await startBroker(registry, { config, folder, topics, service })
  const mqttUrl = () => config.mqtt.public_url ?? broker.url
  const server = await listenHttp(registry, { config, service, mqttUrl })
  service.start(broker.line)
  broker.begin()
  const stopping = new AbortController()
  const stop = stopping.signal
  for (const duty of dutiesOf(registry, service)) void keepDoing(duty, { clock, stop })
  await syncConsul(registry, { consul: config.consul, clock, stop })
  // Ends with the others: a stream that goes on would keep the server from stopping.
  void registry.live.run({ clock, stop })
  return {
    url: server.url.href.replace(/\/$/, ''),
    mqttUrl: mqttUrl(),
    stop: async () => {
      stopping.abort()
      await server.stop()
      await service.stop()
      await broker.line.close()
    },
  }
}
