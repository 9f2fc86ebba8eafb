/** What a broker says of itself is obeyed: its limits, its version, where it sends us, and that it is busy. */
import { afterEach, describe, expect, test } from 'bun:test'
import type { Clock } from '../../src/kit/clock.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { KeptLine } from '../../src/link/kept-line.ts'
import { type LineOptions, openLine } from '../../src/link/line.ts'
import { eventually } from '../kit/device-link.ts'
import { connack, countPublished, type FakeBroker, property, startFakeBroker } from '../kit/fake-broker.ts'

const brokers: FakeBroker[] = []
afterEach(async () => {
  await Promise.all(brokers.splice(0).map((broker) => broker.close()))
})

async function standIn(answer: (attempt: number) => Uint8Array | undefined): Promise<FakeBroker> {
  const started = await startFakeBroker(answer)
  brokers.push(started)
  return started
}

function optionsFor({ port }: { port: number }): LineOptions {
  return {
    url: `mqtt://user:secret@127.0.0.1:${port}`,
    clientId: 'cam-01',
    username: 'cam-01',
    password: 'secret',
    tls: {},
    version: 5,
    keepaliveSeconds: 30,
    will: undefined,
  }
}

const NEVER = new AbortController().signal
const message = (bytes: number, qos: 0 | 1 = 0) => ({
  topic: 'limpet/v1/u/cam-01/ev',
  payload: new Uint8Array(bytes),
  qos,
  retain: false,
})

describe('a line', () => {
  test('sends nothing that is longer than the broker takes', async () => {
    const small = await standIn(() => connack(0, property.maximumPacketSize(1_000)))
    const line = await openLine(optionsFor(small), NEVER)
    expect(line.limits.packetBytesMax).toBe(1_000)
    await line.publish(message(900))
    await expect(line.publish(message(990))).rejects.toThrow('the broker takes 1000')
    await eventually('the short one came', () => countPublished(small) === 1)
    expect(Math.max(...small.packets.map(({ bytes }) => bytes))).toBeLessThanOrEqual(1_000)
    line.drop()
  })

  test('has no more under way than the broker wants', async () => {
    const slow = await standIn(() => connack(0, property.receiveMaximum(3)))
    const line = await openLine(optionsFor(slow), NEVER)
    const sent = Array.from({ length: 10 }, () => line.publish(message(10, 1)).catch(() => undefined))
    await eventually('three came', () => countPublished(slow) === 3)
    // The broker acknowledges nothing; messages that need no word of it go past.
    await line.publish(message(11))
    await eventually('one more came', () => countPublished(slow) === 4)
    expect(slow.packets.filter(({ bytes }) => bytes > 20).length).toBeGreaterThanOrEqual(4)
    line.drop()
    await Promise.all(sent)
  })

  test('that is refused says why, and not with which password', async () => {
    const closed = await standIn(() => connack(0x86))
    const opening = openLine(optionsFor(closed), NEVER)
    await expect(opening).rejects.toThrow(
      /Cannot reach the broker "mqtt:\/\/127\.0\.0\.1:\d+": .*Bad User Name or Password/i,
    )
    await expect(opening).rejects.not.toThrow('secret')
  })
})

/** Does not wait, and keeps what it was asked to. */
class NotingClock implements Clock {
  readonly waits: number[] = []
  readonly now = () => systemClock.now()
  readonly elapsed = () => systemClock.elapsed()
  readonly sleep = (ms: number, signal?: AbortSignal) => {
    this.waits.push(ms)
    return systemClock.sleep(Math.min(ms, 5), signal)
  }
}

describe('a kept line', () => {
  async function keepUntil(options: LineOptions, isDone: (kept: KeptLine) => boolean): Promise<number[]> {
    const clock = new NotingClock()
    const stop = new AbortController()
    const kept = new KeptLine({
      clock,
      random: { fraction: () => 0.5, bytes: () => new Uint8Array(0) },
      options: () => options,
      greet: () => Promise.resolve(),
    })
    const running = kept.run(stop.signal)
    await eventually('it is done', () => isDone(kept))
    stop.abort()
    await running
    return clock.waits
  }

  test('goes where a broker sends it, and comes back to the first when that is no good', async () => {
    const other = await standIn((attempt) => (attempt === 1 ? connack(0) : undefined))
    const first = await standIn((attempt) =>
      attempt === 1 ? connack(0x9c, property.serverReference(`127.0.0.1:${other.port}`)) : connack(0),
    )
    await keepUntil(optionsFor(first), (kept) => kept.isUp)
    expect([first, other].map(({ packets }) => packets.filter(({ type }) => type === 1).length)).toEqual([
      1, 1,
    ])

    const gone = await standIn((attempt) =>
      attempt === 1 ? connack(0x9d, property.serverReference('127.0.0.1:1')) : connack(0),
    )
    await keepUntil(optionsFor(gone), (kept) => kept.isUp)
    expect(gone.packets.filter(({ type }) => type === 1)).toHaveLength(2)
  })

  test('leaves a broker that is busy alone for half a minute', async () => {
    const busy = await standIn((attempt) => (attempt === 1 ? connack(0x89) : connack(0)))
    const [first] = await keepUntil(optionsFor(busy), (kept) => kept.isUp)
    expect(first).toBe(30_500)
  })

  test('asks with MQTT 3.1.1 where a broker hangs up on MQTT 5 without a word', async () => {
    const old = await standIn((attempt) => (attempt === 2 ? Uint8Array.from([0x20, 2, 0, 0]) : undefined))
    await keepUntil(optionsFor(old), (kept) => kept.isUp)
    expect(old.packets.filter(({ type }) => type === 1)).toHaveLength(2)
  })

  test('ends with what this device could not do with what came; the line is dropped', async () => {
    const broker = await standIn(() => connack(0))
    const full = new Error('database or disk is full')
    const kept = new KeptLine({
      clock: systemClock,
      random: { fraction: () => 0.5, bytes: () => new Uint8Array(0) },
      options: () => optionsFor(broker),
      greet: () => Promise.resolve(),
      onUp: () => Promise.reject(full),
    })
    const stop = new AbortController()
    await expect(kept.run(stop.signal)).rejects.toBe(full)
    stop.abort()
  })
})
