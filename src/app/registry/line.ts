import type { RegistryConfig } from '../../config/registry-config.ts'
import { systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import type { Topics } from '../../link/topics.ts'
import { EmbeddedBroker } from '../../registry/broker.ts'
import { ChunkReader } from '../../registry/chunk-reader.ts'
import { MqttService } from '../../registry/mqtt-service.ts'
import type { Registry } from '../../registry/registry.ts'
import { RemoteBroker } from '../../registry/remote-broker.ts'
import { complain } from './duties.ts'
import { readPassword, readTls } from './settings.ts'

/** What answers devices, whatever broker they speak through. */
export function createService(registry: Registry, topics: Topics): MqttService {
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

/** The broker inside, or the line to another one; it says that the registry is there once it may begin. */
export async function startBroker(
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
