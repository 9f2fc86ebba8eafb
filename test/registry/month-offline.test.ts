/**
 * Thirty days without a line, and back: the agent's own outboxes on a real disk, the registry's own ingest, a line that
 * loses messages and breaks, a registry that restarts, and somebody who compares what went in with what has arrived.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { AlertBook } from '../../src/app/agent/alert-book.ts'
import { HealthMonitor } from '../../src/app/agent/health-monitor.ts'
import { openDatabase } from '../../src/kit/database.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { BacklogSender } from '../../src/link/backlog-sender.ts'
import { decodeFrame } from '../../src/link/frame.ts'
import type { Line, Message } from '../../src/link/line.ts'
import { Outbox } from '../../src/link/outbox.ts'
import { TelemetryOutbox } from '../../src/link/telemetry-outbox.ts'
import { TokenBucket } from '../../src/link/token-bucket.ts'
import { Topics } from '../../src/link/topics.ts'
import type { BrokerLine } from '../../src/registry/broker.ts'
import { MqttService } from '../../src/registry/mqtt-service.ts'
import { TelemetryStore } from '../../src/registry/telemetry.ts'
import { Traffic } from '../../src/registry/traffic.ts'
import { createFolder } from '../kit/binary.ts'
import { FlowingClock } from '../kit/flowing-clock.ts'
import { Random } from '../kit/random.ts'
import { SEED } from '../kit/seed.ts'
import { type RegistryStage, stageRegistry } from './stage.ts'

// A month of minutes, on a busy machine.
setDefaultTimeout(600_000)

const DEVICE = 'cam-01'
const MINUTE_MS = 60_000
const STRETCH_MS = 600_000
const MINUTES = 30 * 24 * 60
const BYTES_MAX = 700_000
const RATE = 20_000
const START_MS = STRETCH_MS * Math.floor(1_790_000_000_000 / STRETCH_MS)

const folder = await createFolder()
let stage: RegistryStage
beforeAll(async () => {
  setLogLevel('silent')
  stage = await stageRegistry()
  stage.registry.devices.enrol(DEVICE, {})
  stage.database.pragma('synchronous = OFF')
})
afterAll(async () => {
  setLogLevel('info')
  await stage.remove()
  await folder.remove()
})

/** What went in: of each minute one value, and of each event its name. */
class Coordinator {
  readonly values: number[] = []
  readonly events: string[] = []
}

/** The agent as far as it reports, over a database that outlives it. */
function startAgent(clock: FlowingClock, coordinator: Coordinator) {
  const database = openDatabase(join(folder.path, 'agent.sqlite'))
  database.pragma('synchronous = OFF')
  const outbox = new Outbox({ database, clock, random: systemRandom, bytesMax: BYTES_MAX })
  const telemetry = new TelemetryOutbox({ database, clock, events: outbox, bytesMax: BYTES_MAX })
  const monitor = new HealthMonitor({
    clock,
    sampler: {
      sample: () => {
        const value = coordinator.values.at(-1) ?? 0
        return Promise.resolve([
          { name: 'temperature_celsius', labels: { zone: 'cpu' }, value },
          ...['cpu_percent', 'memory_used_percent'].map((name) => ({ name, value: value / 2 })),
        ])
      },
      problems: [],
    },
    rules: [],
    book: new AlertBook({ database, report: (event) => outbox.put(event) }),
    telemetry,
    sampleSeconds: 60,
    pointsSeconds: 60,
    onAlert: () => undefined,
  })
  return { database, outbox, telemetry, monitor }
}

test('a month without a line: bounded, coarser, whole; brought at its pace, in order, once', async () => {
  const random = new Random(SEED)
  const clock = new FlowingClock(START_MS)
  const coordinator = new Coordinator()
  let agent = startAgent(clock, coordinator)
  const minute = async () => {
    coordinator.values.push(Math.round(random.next() * 100_000) / 1000)
    if (coordinator.values.length % 60 === 0) {
      coordinator.events.push(`hour ${coordinator.values.length / 60}`)
      agent.outbox.put({ kind: 'test', name: coordinator.events.at(-1) })
    }
    await agent.monitor.look()
    clock.advance(MINUTE_MS)
  }

  let mostBytes = 0
  for (let number = 0; number < MINUTES; number += 1) {
    await minute()
    if (number % 60 === 0) mostBytes = Math.max(mostBytes, agent.telemetry.waiting.bytes + agent.outbox.bytes)
    // The power is cut now and then; a minute that has not been put away is lost with it.
    if (number % 10_000 === 9_999) {
      agent.database.close()
      agent = startAgent(clock, coordinator)
    }
  }
  expect(mostBytes).toBeLessThanOrEqual(BYTES_MAX)
  expect(Bun.file(join(folder.path, 'agent.sqlite')).size).toBeLessThan(3 * BYTES_MAX)
  // There was more than room for: what was measured first has gone, and not one event.
  expect(agent.telemetry.waiting.dropped).toBeGreaterThan(0)
  expect(agent.outbox.after(0, 10_000).length).toBe(coordinator.events.length)

  const sent = await drain({ agent, clock, random })
  expect(sent.bytes / (sent.ms / 1000)).toBeLessThan(RATE * 1.05)
  expect([agent.telemetry.waiting.batches, agent.outbox.bytes]).toEqual([0, 0])
  agent.database.close()

  const told = stage.registry.devices.events(DEVICE, { after: 0, count: 10_000 })
  expect(told.map(({ body }) => (body as { name: string }).name)).toEqual(coordinator.events)
  compare(coordinator, clock.now())
})

/** Until nothing waits: over lines that lose a tenth and break, to a registry that is another run after each. */
async function drain({
  agent,
  clock,
  random,
}: {
  agent: ReturnType<typeof startAgent>
  clock: FlowingClock
  random: Random
}): Promise<{ bytes: number; ms: number }> {
  const topics = new Topics()
  const pace = new TokenBucket({ clock, rate: () => RATE })
  const open = (kind: 'ev' | 'tm', backlog: Outbox | TelemetryOutbox) =>
    new BacklogSender({ backlog, clock, pace, topic: topics.up(DEVICE, kind) })
  const senders = [open('ev', agent.outbox), open('tm', agent.telemetry)]
  const began = clock.elapsed()
  let bytes = 0
  for (let messages = 40; agent.telemetry.waiting.batches > 0 || agent.outbox.bytes > 0; messages += 40) {
    const ended = new AbortController()
    let left = messages
    const isLost = () => random.chance(0.1)
    const registry = startRegistry(clock, topics, ({ topic, payload }) => {
      if (topic !== topics.down(DEVICE, 'rsp') || ended.signal.aborted || isLost()) return
      const { item, bytes: sid } = decodeFrame(payload)
      for (const sender of senders) sender.acknowledge(Buffer.from(sid).toString(), item)
      if (agent.telemetry.waiting.batches === 0 && agent.outbox.bytes === 0) ended.abort()
    })
    const line = {
      get isOpen() {
        return !ended.signal.aborted
      },
      publish: ({ topic, payload }: Message) => {
        bytes += payload.byteLength
        left -= 1
        if (left <= 0) ended.abort()
        else if (!isLost()) registry.take(topic, payload)
        return Promise.resolve()
      },
    } as unknown as Line
    await Promise.all(senders.map((sender) => sender.run(line, ended.signal)))
    await registry.stop()
  }
  return { bytes, ms: clock.elapsed() - began }
}

/** Another run over the same database. */
function startRegistry(clock: FlowingClock, topics: Topics, hear: (message: Message) => void): MqttService {
  const { registry, parts, database } = stage
  const service = new MqttService({
    ...registry,
    clock,
    random: systemRandom,
    topics,
    telemetry: new TelemetryStore({ database, clock }),
    traffic: new Traffic({ clock }),
    chunks: { index: () => Promise.resolve(undefined), read: () => Promise.resolve(undefined) } as never,
    readMetadata: parts.readMetadata,
    readObject: () => Promise.resolve(undefined),
    signTime: () => new Uint8Array(),
  })
  service.start({
    publish: (message: Message) => {
      hear(message)
      return Promise.resolve()
    },
  } as BrokerLine)
  return service
}

/** Every stretch of ten minutes that has arrived says of its minutes what they were, and from the first on none is missing. */
function compare(coordinator: Coordinator, nowMs: number): void {
  const store = new TelemetryStore({
    database: stage.database,
    clock: { ...stage.clock, now: () => nowMs } as never,
  })
  while (store.tidy());
  const range = { fromMs: START_MS, toMs: nowMs, pointsMax: 100_000 }
  const series = store.history(DEVICE, { ...range, names: ['temperature_celsius'] })
  const points = series[0]?.points ?? []
  const expected = points.map(({ timeMs }) => {
    const first = (timeMs - START_MS) / MINUTE_MS
    // A window is put away by the look that finds it a minute old: its minute is the one that began it.
    const values = coordinator.values.slice(first, first + 10)
    return [timeMs, Math.min(...values), Math.max(...values), values.at(-1) ?? 0]
  })
  const settled = points.filter(({ timeMs }) => timeMs < nowMs - 3 * STRETCH_MS).length
  expect(points.map(({ timeMs, min, max, last }) => [timeMs, min, max, last]).slice(0, settled)).toEqual(
    expected.slice(0, settled),
  )
  const times = points.slice(0, settled).map(({ timeMs }) => timeMs)
  expect(times).toEqual(times.map((_, index) => (times[0] ?? 0) + index * STRETCH_MS))
  expect(times.length).toBeGreaterThan(1_000)
}
