/** What has to be heard is kept, in order, until it is heard; and no more of it than there is room for. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { join } from 'node:path'
import { type Database, openDatabase, transact } from '../../src/kit/database.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { Outbox } from '../../src/link/outbox.ts'
import { createFolder } from '../kit/binary.ts'
import { FakeClock } from '../kit/fake-clock.ts'

let folder: Awaited<ReturnType<typeof createFolder>>
let database: Database
const clock = new FakeClock()

const open = (bytesMax?: number) => {
  database = openDatabase(join(folder.path, 'agent.sqlite'))
  return new Outbox({ database, clock, random: systemRandom, ...(bytesMax !== undefined && { bytesMax }) })
}
beforeEach(async () => {
  folder = await createFolder()
})
afterEach(async () => {
  database.close()
  await folder.remove()
})

const seqs = (outbox: Outbox) => outbox.after(0, 1000).map(({ seq }) => seq)

test('events come out in order, each under a number that is never used again', () => {
  const outbox = open()
  for (const to of ['a', 'b', 'c']) outbox.put({ to })
  expect(outbox.after(0, 2)).toEqual([
    { sid: outbox.sid, seq: 1, time: 0, to: 'a' },
    { sid: outbox.sid, seq: 2, time: 0, to: 'b' },
  ])
  expect(outbox.after(2, 9).map(({ seq }) => seq)).toEqual([3])
  for (const seq of [1, 2, 3]) outbox.remove(seq)
  outbox.put({ to: 'd' })
  expect(seqs(outbox)).toEqual([4])
})

test('after a restart they are there, under the same name, and connections go on being counted', () => {
  const before = open()
  before.put({ to: 'a' })
  expect([before.nextConnection(), before.nextConnection()]).toEqual([1, 2])
  database.close()
  const after = open()
  expect([after.sid, seqs(after), after.nextConnection()]).toEqual([before.sid, [1], 3])
})

test('an event of a transaction that failed was never put', () => {
  const outbox = open()
  outbox.put({ to: 'kept' })
  expect(() =>
    transact(database, () => {
      outbox.put({ to: 'not kept' })
      throw new Error('what it was about did not happen')
    }),
  ).toThrow('did not happen')
  expect(outbox.after(0, 9).map(({ to }) => to)).toEqual(['kept'])
})

test('when there is no more room the newest stay', () => {
  const outbox = open(1_000)
  for (let index = 0; index < 100; index += 1) outbox.put({ text: 'x'.repeat(80) })
  const kept = outbox.after(0, 1000)
  const bytes = kept.reduce((sum, { sid: _, seq: __, ...body }) => sum + JSON.stringify(body).length, 0)
  expect(bytes).toBeLessThanOrEqual(1_000)
  expect(bytes).toBeGreaterThan(800)
  expect(kept.at(-1)?.seq).toBe(100)
  expect(kept.map(({ seq }) => seq)).toEqual(kept.map((_, index) => 101 - kept.length + index))
})
