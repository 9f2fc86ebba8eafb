/** Events on their way to a registry that is not always there, over a broker that takes them all the same. */
import { expect, test } from 'bun:test'
import { EMBEDDED } from '../../src/app/embedded.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { openDatabase } from '../../src/kit/database.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { EventSender } from '../../src/link/event-sender.ts'
import type { Line } from '../../src/link/line.ts'
import { Outbox } from '../../src/link/outbox.ts'
import { Topics } from '../../src/link/topics.ts'
import { eventually } from '../kit/device-link.ts'

test('one that nobody has heard is sent again before the next, which is not sent until the registry has it', async () => {
  const database = openDatabase({ addonPath: EMBEDDED.sqlite.path, path: ':memory:' })
  const outbox = new Outbox({ database, clock: systemClock, random: systemRandom })
  const sender = new EventSender({ outbox, clock: systemClock, topics: new Topics(), device: 'cam-01' })
  const sent: number[] = []
  const line = {
    isOpen: true,
    publish: async ({ payload }: { payload: Uint8Array }) => {
      sent.push((JSON.parse(Buffer.from(payload).toString()) as { seq: number }).seq)
    },
  } as unknown as Line
  const stop = new AbortController()
  const running = sender.run(line, stop.signal)
  for (const to of ['wait', 'activate', 'observe']) outbox.put({ to })
  await eventually('the first is sent', () => sent.length === 1)
  // The broker had it, and the registry was away.
  outbox.put({ to: 'commit' })
  sender.again()
  await eventually('it is sent again', () => sent.length === 2)
  for (const seq of [1, 2, 3, 4]) {
    sender.acknowledge('of another outbox', seq)
    sender.acknowledge(outbox.sid, seq)
    await eventually('the next one is sent', () => sent.length === Math.min(2 + seq, 5))
  }
  expect(sent).toEqual([1, 1, 2, 3, 4])
  outbox.put({ to: 'committed' })
  await eventually('what comes later is sent at once', () => sent.at(-1) === 5)
  stop.abort()
  await running
  database.close()
})
