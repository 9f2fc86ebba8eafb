import type { RegistrySettings } from '../../config/registry-settings.ts'
import type { LinkOptions } from '../../link/link.ts'
import type { Enrolment } from './enrolment.ts'
import { readTls } from './tls.ts'

/** How to reach the registry, out of the enrolment and the settings. */
export async function linkOptions(enrolment: Enrolment, settings: RegistrySettings): Promise<LinkOptions> {
  return {
    device: enrolment.device,
    secret: enrolment.secret,
    mqttUrl: settings.mqtt_url ?? enrolment.mqtt_url,
    httpUrl: enrolment.registry,
    prefix: settings.topic_prefix,
    tls: await readTls(settings),
    payloadBytesMax: settings.payload_bytes_max,
    keepaliveSeconds: settings.keepalive_seconds,
    heartbeatSeconds: settings.heartbeat_seconds,
    bandwidth: {
      bytesPerSecond: settings.bytes_per_second_max,
      hours: settings.bandwidth_hours.map(({ from, to, bytes_per_second_max: bytes }) => ({
        fromMinute: minuteOf(from),
        toMinute: minuteOf(to),
        bytesPerSecond: bytes === 0 ? undefined : bytes,
      })),
    },
    transports: settings.transports,
    reportBytesPerSecondMax: settings.report_bytes_per_second_max,
    idleSecondsMax: settings.idle_seconds_max,
  }
}

function minuteOf(time: string): number {
  const [hours, minutes] = time.split(':').map(Number)
  return (hours ?? 0) * 60 + (minutes ?? 0)
}
