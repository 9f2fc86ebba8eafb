/** A device's end of the line, with a database of its own, as the agent has it. */
import { join } from 'node:path'
import { systemClock } from '../../src/kit/clock.ts'
import { openDatabase } from '../../src/kit/database.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { Link, type LinkOptions } from '../../src/link/link.ts'
import type { Desired } from '../../src/link/messages.ts'
import { Outbox } from '../../src/link/outbox.ts'
import { TelemetryOutbox } from '../../src/link/telemetry-outbox.ts'
import { DEFAULT_PREFIX } from '../../src/link/topics.ts'
import { decodeChunk } from '../../src/store/chunks/stored-chunk.ts'

export interface DeviceLink {
  readonly link: Link
  readonly outbox: Outbox
  readonly telemetry: TelemetryOutbox
  readonly desired: Desired[]
  stop(): Promise<void>
}

export function startDevice(
  folder: string,
  options: Pick<LinkOptions, 'device' | 'secret' | 'mqttUrl'> & Partial<LinkOptions>,
): DeviceLink {
  const database = openDatabase(join(folder, `${options.device}.sqlite`))
  const outbox = new Outbox({ database, clock: systemClock, random: systemRandom })
  const telemetry = new TelemetryOutbox({ database, clock: systemClock, events: outbox })
  const link = new Link({
    options: {
      httpUrl: undefined,
      prefix: DEFAULT_PREFIX,
      tls: {},
      payloadBytesMax: 57_344,
      keepaliveSeconds: 10,
      heartbeatSeconds: 30,
      bandwidth: { bytesPerSecond: undefined, hours: [] },
      transports: ['http', 'mqtt'],
      idleSecondsMax: 60,
      ...options,
    },
    clock: systemClock,
    random: systemRandom,
    outbox,
    telemetry,
    live: () => ({ status: 'ok' }),
    decode: decodeChunk,
    describe: () => ({ limpet: 'test' }),
  })
  const desired: Desired[] = []
  link.onDesired((one) => desired.push(one))
  const stop = new AbortController()
  const running = link.run(stop.signal)
  return {
    link,
    outbox,
    telemetry,
    desired,
    stop: async () => {
      stop.abort()
      await running
      database.close()
    },
  }
}

/** Looks until it is so, or says what it was waiting for. */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  msMax = 20_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + msMax
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== null && found !== false) return found as NonNullable<T>
    if (performance.now() > deadline) throw new Error(`Not so after ${msMax} ms: ${what}`)
    await Bun.sleep(20)
  }
}
