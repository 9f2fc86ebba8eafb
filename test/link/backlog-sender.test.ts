/** What waits on its way to a registry that is not always there, over a broker that takes everything all the same. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { systemClock } from '../../src/kit/clock.ts'
import { type Database, openDatabase } from '../../src/kit/database.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { BacklogSender, MESSAGE_BYTES_MAX } from '../../src/link/backlog-sender.ts'
import type { Line } from '../../src/link/line.ts'
import { Outbox } from '../../src/link/outbox.ts'
import { TokenBucket } from '../../src/link/token-bucket.ts'
import { eventually } from '../kit/device-link.ts'
import { FlowingClock } from '../kit/flowing-clock.ts'

let database: Database
let outbox: Outbox
beforeEach(() => {
  database = openDatabase(':memory:')
  outbox = new Outbox({ database, clock: systemClock, random: systemRandom })
})
afterEach(() => database.close())

interface Sent {
  readonly sid: string
  readonly events: readonly { readonly seq: number }[]
}

/** A line whose broker takes everything. */
function hearing(hear: (message: Sent, bytes: number) => void): Line {
  const publish = async ({ payload }: { payload: Uint8Array }) =>
    hear(JSON.parse(Buffer.from(payload).toString()) as Sent, payload.byteLength)
  return { isOpen: true, publish } as unknown as Line
}

const unpaced = () => new TokenBucket({ clock: systemClock, rate: () => undefined })

test('what nobody has heard is sent again before what came later, which waits until the registry has it', async () => {
  const sender = new BacklogSender({ backlog: outbox, clock: systemClock, topic: 'ev', pace: unpaced() })
  const sent: number[][] = []
  const line = hearing(({ events }) => sent.push(events.map(({ seq }) => seq)))
  const stop = new AbortController()
  for (const to of ['wait', 'activate', 'observe']) outbox.put({ to })
  const running = sender.run(line, stop.signal)
  await eventually('what waits is sent together', () => sent.length === 1)
  outbox.put({ to: 'commit' })
  // The broker had it, and the registry was away.
  sender.again()
  await eventually('all of it is sent again', () => sent.length === 2)
  sender.acknowledge('of another outbox', 4)
  sender.acknowledge(outbox.sid, 3)
  await eventually('the rest is sent', () => sent.length === 3)
  sender.acknowledge(outbox.sid, 4)
  await eventually('there is nothing left', () => outbox.after(0, 9).length === 0)
  outbox.put({ to: 'committed' })
  await eventually('what comes later is sent at once', () => sent.length === 4)
  stop.abort()
  await running
  expect(sent).toEqual([[1, 2, 3], [1, 2, 3, 4], [4], [5]])
})

test('a long backlog goes in messages of a bounded size, at the pace that is allowed, and none is left out', async () => {
  const clock = new FlowingClock()
  const rate = 8 * 1024
  const pace = new TokenBucket({ clock, rate: () => rate })
  const sender = new BacklogSender({ backlog: outbox, clock, topic: 'ev', pace })
  for (let number = 0; number < 500; number += 1) outbox.put({ to: 'x'.repeat(1000) })
  outbox.put({ to: 'y'.repeat(2 * MESSAGE_BYTES_MAX) })
  const stop = new AbortController()
  const heard: number[] = []
  const sizes: number[] = []
  const line = hearing(({ sid, events }, bytes) => {
    heard.push(...events.map(({ seq }) => seq))
    sizes.push(bytes)
    queueMicrotask(() => sender.acknowledge(sid, heard.at(-1) ?? 0))
    if (heard.length === 501) stop.abort()
  })
  const began = clock.elapsed()
  await sender.run(line, stop.signal)
  expect(heard).toEqual(Array.from({ length: 501 }, (_, index) => index + 1))
  // One that is larger than a message should be goes alone.
  expect(sizes.slice(0, -1).every((bytes) => bytes < MESSAGE_BYTES_MAX * 1.2)).toBe(true)
  const beforeLast = sizes.slice(0, -1).reduce((sum, bytes) => sum + bytes, 0)
  expect(beforeLast / ((clock.elapsed() - began) / 1000)).toBeLessThan(rate * 1.05)
})
