import type { Server } from 'bun'
import type { RegistryConfig } from '../../config/registry-config.ts'
import { systemClock } from '../../kit/clock.ts'
import { createApp } from '../../registry/app.ts'
import type { MqttService } from '../../registry/mqtt-service.ts'
import { RateLimit } from '../../registry/rate-limit.ts'
import type { Registry } from '../../registry/registry.ts'
import { listenTcp } from '../listen.ts'
import { watchProcess } from '../watch-process.ts'
import { complain } from './duties.ts'
import { readHttpTls } from './settings.ts'

/** The HTTP API and the console. */
export async function listenHttp(
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
