import { cp, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Server } from 'bun'
import { readEnvironment } from '../config/environment.ts'
import { loadRegistryConfig, type RegistryConfig } from '../config/registry-config.ts'
import { systemClock } from '../kit/clock.ts'
import { makeFolderDurably, moveFolderDurably } from '../kit/durable-file.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger, setLogLevel } from '../kit/log.ts'
import { systemRandom } from '../kit/random.ts'
import type { Tls } from '../link/line.ts'
import { Topics } from '../link/topics.ts'
import { initKeys } from '../publisher/ceremony.ts'
import { createApp } from '../registry/app.ts'
import { EmbeddedBroker } from '../registry/broker.ts'
import { ChunkReader } from '../registry/chunk-reader.ts'
import { ConsulAgent } from '../registry/consul-agent.ts'
import { ConsulSync } from '../registry/consul-sync.ts'
import { MqttService } from '../registry/mqtt-service.ts'
import { RateLimit } from '../registry/rate-limit.ts'
import { makeFirstKey, openRegistry, type Registry } from '../registry/registry.ts'
import { RemoteBroker } from '../registry/remote-broker.ts'
import { BROKER_PASSWORD } from './broker-config.ts'
import { BUILD } from './build-info.ts'
import { waitForStop } from './lifecycle.ts'
import { listenTcp } from './listen.ts'
import { openRegistryDatabase } from './registry-database.ts'
import { lockRegistry } from './registry-lock.ts'
import { watchProcess } from './watch-process.ts'
import { watchLoop } from './watchdog.ts'

export interface RegistryOptions {
  readonly state: string | undefined
  readonly host: string | undefined
  readonly port: number | undefined
  readonly mqttPort: number | undefined
  readonly broker: string | undefined
  readonly config: string | undefined
  readonly devKeys: boolean
}

type Print = (line: string) => void

const LOG = logger('registry')
const TICK_MS = 1_000
/** Between two looks at what devices have seen. */
const SEEN_MS = 5_000
/** Between two looks at what is about to expire. */
const RESIGN_MS = 3_600_000
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

function applyOptions(
  config: RegistryConfig,
  { host, port, mqttPort, broker }: RegistryOptions,
): RegistryConfig {
  return {
    ...config,
    http: { ...config.http, ...(host !== undefined && { host }), ...(port !== undefined && { port }) },
    mqtt: {
      ...config.mqtt,
      ...(mqttPort !== undefined && { port: mqttPort }),
      ...(broker !== undefined && { broker }),
    },
  }
}

/** A registry without keys cannot sign, and nobody's devices would believe it. */
async function requireKeys(folder: string, options: { devKeys: boolean; print: Print }): Promise<void> {
  await makeFolderDurably(folder, 0o700)
  const hasKeys = await stat(join(folder, 'tuf/root.json')).then(
    () => true,
    () => false,
  )
  if (hasKeys) return
  if (!options.devKeys) {
    throw new EdgeError(
      'config_invalid',
      `Cannot start a registry in "${folder}": it has no keys. Make them with "limpet keys init --out DIR --family NAME" ` +
        'and start with "--state DIR/registry"; to try things out, add --dev-keys',
    )
  }
  options.print(
    'DEVELOPMENT KEYS: root, targets and publisher keys are made on this machine and stay on it, unencrypted.',
  )
  options.print('Whoever can read them owns every device that trusts them. Never use them for a real fleet.')
  const out = join(folder, 'development-keys')
  // Of a first start that was cut off: nobody trusts them yet.
  for (const name of ['development-keys', 'tuf.part', 'tuf']) {
    await rm(join(folder, name), { recursive: true, force: true })
  }
  await initKeys({
    out,
    families: DEV_FAMILIES,
    rootKeys: 1,
    rootThreshold: 1,
    passphrase: undefined,
    nowMs: systemClock.now(),
    print: () => undefined,
  })
  // The metadata comes last, and whole: where it is, everything is.
  for (const name of ['keys', 'objects', 'tuf.part']) {
    await cp(join(out, 'registry', name.replace('.part', '')), join(folder, name), { recursive: true })
  }
  await moveFolderDurably(join(folder, 'tuf.part'), join(folder, 'tuf'))
  options.print(`Publisher keys for ${DEV_FAMILIES.join(', ')}: ${join(out, 'publishers')}`)
}

const DEV_FAMILIES = ['vision', 'audio', 'demo']

interface Running {
  readonly url: string
  readonly mqttUrl: string
  stop(): Promise<void>
}

/** HTTP and MQTT over one registry. */
async function startRegistry(
  registry: Registry,
  { config, folder }: { config: RegistryConfig; folder: string },
): Promise<Running> {
  const topics = new Topics(config.mqtt.prefix)
  const service = createService(registry, topics)
  const broker = await startBroker(registry, { config, folder, topics, service })
  const mqttUrl = () => config.mqtt.public_url ?? broker.url
  const server = await listenHttp(registry, { config, service, mqttUrl })
  service.start(broker.line)
  broker.begin()
  const stopping = new AbortController()
  void tickRollouts(registry, { service, stop: stopping.signal })
  void keepAbove(registry, { service, stop: stopping.signal })
  void keepSigned(registry, { service, stop: stopping.signal })
  await syncConsul(registry, { config, stop: stopping.signal })
  // Ends with the others: a stream that goes on would keep the server from stopping.
  void registry.live.run({ clock: systemClock, stop: stopping.signal })
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

/** Where it is set, and for as long as the registry runs. */
async function syncConsul(
  { endpoints }: Registry,
  { config, stop }: { config: RegistryConfig; stop: AbortSignal },
): Promise<void> {
  const { consul } = config
  if (consul === undefined) return
  const token = consul.token_file === undefined ? undefined : (await readSetting(consul.token_file)).trim()
  const sync = new ConsulSync({
    agent: new ConsulAgent({ url: consul.url, token }),
    endpoints,
    rules: {
      service: consul.service,
      tags: consul.tags,
      checkSeconds: consul.check_seconds,
      awaySeconds: consul.away_seconds,
    },
    everyMs: consul.every_seconds * 1000,
    clock: systemClock,
  })
  void sync.run(stop)
}

function createService(registry: Registry, topics: Topics): MqttService {
  const { devices, assignments, commands, repository, objects, packs, director, traffic } = registry
  return new MqttService({
    clock: systemClock,
    random: systemRandom,
    topics,
    devices,
    assignments,
    commands,
    liveness: registry.liveness,
    telemetry: registry.telemetry,
    traffic,
    chunks: new ChunkReader({ objects, packs }),
    readMetadata: (name) => repository.read(name),
    readObject: (sha256) => objects.read(sha256),
    signTime: (nonce) => director.signTime({ nonce, timeMs: systemClock.now() }),
  })
}

async function startBroker(
  registry: Registry,
  parts: { config: RegistryConfig; folder: string; topics: Topics; service: MqttService },
): Promise<{ line: EmbeddedBroker | RemoteBroker; url: string; begin: () => void }> {
  const { topics, service } = parts
  const { mqtt, http } = parts.config
  const take = (topic: string, payload: Uint8Array) => service.take(topic, payload)
  const tls = await readTls(mqtt)
  if (mqtt.broker !== undefined) {
    const password = await readPassword(mqtt.password_file, parts.folder)
    const line = new RemoteBroker({
      url: mqtt.broker,
      username: mqtt.username,
      password,
      tls,
      topics,
      sid: service.sid,
      clock: systemClock,
      random: systemRandom,
      take,
      onUp: () => service.announce(),
    })
    return { line, url: mqtt.broker, begin: () => line.start() }
  }
  const hostname = mqtt.host ?? http.host
  const isSecure = tls.cert !== undefined && tls.key !== undefined
  const line = await EmbeddedBroker.start({
    hostname,
    port: mqtt.port,
    topics,
    tls: isSecure ? tls : undefined,
    isSecretOf: (device, secret) => registry.devices.isSecretOf(device, secret),
    take,
  })
  const url = `mqtt${isSecure ? 's' : ''}://${hostname}:${line.port}`
  return { line, url, begin: () => void service.announce().catch(complain) }
}

async function listenHttp(
  registry: Registry,
  parts: { config: RegistryConfig; service: MqttService; mqttUrl: () => string },
): Promise<Server<undefined>> {
  const { config, service } = parts
  const { http, enrolment, console: browsers } = config
  const app = createApp({
    ...registry,
    clock: systemClock,
    enrolLimit: new RateLimit({
      clock: systemClock,
      burst: enrolment.attempts_max,
      intervalMs: enrolment.attempt_seconds * 1000,
    }),
    loginLimit: new RateLimit({
      clock: systemClock,
      burst: browsers.attempts_max,
      intervalMs: browsers.attempt_seconds * 1000,
    }),
    sessionSeconds: browsers.session_hours * 3600,
    mqttUrl: parts.mqttUrl,
    machine: watchProcess(systemClock),
    readMetadata: (name) => registry.repository.read(name),
    addressOf: (request) => server.requestIP(request)?.address ?? '',
    onMetadata: () => {
      void registry.director
        .readKey()
        .then(() => service.announceMetadata())
        .catch(complain)
    },
    onCommand: () => service.sendCommands(),
    onIssued: (issued) => void service.announceDesired(issued).catch(complain),
  })
  const server = listenTcp(
    { hostname: http.host, port: http.port, ...(await readHttpTls(http)) },
    (request) => app.fetch(request),
  )
  return server
}

/** What devices were not told now they hear when they ask. */
function complain(error: unknown): void {
  LOG.warn('registry.announcement_failed', { reason: messageOf(error) })
}

/** A tick that fails has decided nothing: the next one tries again. */
async function tickRollouts(
  registry: Registry,
  { service, stop }: { service: MqttService; stop: AbortSignal },
): Promise<void> {
  while (!stop.aborted) {
    await systemClock.sleep(TICK_MS, stop)
    if (stop.aborted) return
    try {
      const issued = registry.rollouts.tick()
      await service.announceDesired(issued).catch(complain)
    } catch (error) {
      LOG.error('registry.rollouts_failed', { reason: messageOf(error) })
    }
  }
}

/** A registry from an old copy goes on above what its devices have seen: below that they would believe nothing of it. */
async function keepAbove(
  registry: Registry,
  { service, stop }: { service: MqttService; stop: AbortSignal },
): Promise<void> {
  while (!stop.aborted) {
    await systemClock.sleep(SEEN_MS, stop)
    if (stop.aborted) return
    try {
      const seen = registry.devices.metadataSeen()
      if (!(await registry.published.resignAbove(seen))) continue
      LOG.warn('registry.metadata_caught_up', seen)
      await service.announceMetadata().catch(complain)
    } catch (error) {
      LOG.error('registry.signing_failed', { reason: messageOf(error) })
    }
  }
}

async function keepSigned(
  registry: Registry,
  { service, stop }: { service: MqttService; stop: AbortSignal },
): Promise<void> {
  while (!stop.aborted) {
    await systemClock.sleep(RESIGN_MS, stop)
    if (stop.aborted) return
    try {
      if (await registry.published.resign()) await service.announceMetadata()
    } catch (error) {
      LOG.error('registry.signing_failed', { reason: messageOf(error) })
    }
  }
}

/** Of the registry at another broker: from the config's file, or from the one that `broker-config` has made. */
async function readPassword(file: string | undefined, folder: string): Promise<string | undefined> {
  if (file !== undefined) return (await readSetting(file)).trim()
  return await readFile(join(folder, BROKER_PASSWORD), 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  )
}

async function readTls({ ca_file, cert_file, key_file }: RegistryConfig['mqtt']): Promise<Tls> {
  return {
    ...(ca_file !== undefined && { ca: await readSetting(ca_file) }),
    ...(cert_file !== undefined && { cert: await readSetting(cert_file) }),
    ...(key_file !== undefined && { key: await readSetting(key_file) }),
  }
}

async function readHttpTls({
  cert_file,
  key_file,
}: RegistryConfig['http']): Promise<{ tls?: { cert: string; key: string } }> {
  if (cert_file === undefined || key_file === undefined) return {}
  return { tls: { cert: await readSetting(cert_file), key: await readSetting(key_file) } }
}

async function readSetting(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new EdgeError('config_invalid', `Cannot read "${path}": ${messageOf(cause)}`, { cause })
  })
}
