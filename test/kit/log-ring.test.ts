/** The last lines of a process: bounded, in order, there after its end. */
import { afterAll, expect, test } from 'bun:test'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { readLogTail } from '../../src/app/agent/log-tail.ts'
import { LogRing } from '../../src/kit/log-ring.ts'
import { createFolder } from './binary.ts'
import { FakeClock } from './fake-clock.ts'

const { path, remove } = await createFolder()
afterAll(remove)

let count = 0
function stageRing() {
  count += 1
  const folder = join(path, String(count))
  const clock = new FakeClock()
  const ring = (name: string) => new LogRing({ folder, name, clock })
  const tail = async (wanted: Partial<Parameters<typeof readLogTail>[1]> = {}) =>
    await readLogTail(folder, {
      processes: ['up', 'serve', 'agent'],
      lines: 1e6,
      bytesMax: 1e9,
      secrets: [],
      ...wanted,
    })
  return { folder, clock, ring, tail }
}

const line = (number: number, more: object = {}) =>
  `${JSON.stringify({ time: new Date(number * 1000).toISOString(), number, ...more })}\n`

const numbersOf = (lines: readonly object[]) => lines.map((one) => (one as { number: number }).number)

test('of several processes stand in order, each with who wrote it', async () => {
  const { ring, tail } = stageRing()
  const [up, serve] = [ring('up'), ring('serve')]
  for (const number of [1, 4, 5]) up.write(line(number))
  for (const number of [2, 3, 6]) serve.write(line(number))
  const { lines, truncated } = await tail()
  expect([numbersOf(lines), truncated]).toEqual([[1, 2, 3, 4, 5, 6], false])
  expect(lines[1]).toMatchObject({ process: 'serve', number: 2 })
  expect(numbersOf((await tail({ processes: ['serve'], lines: 2 })).lines)).toEqual([3, 6])
})

test('never take more than half a MiB, and the newest 256 KiB of them are always there', async () => {
  const { ring, tail, clock, folder } = stageRing()
  const text = 'x'.repeat(1000)
  const written = ring('serve')
  for (let number = 0; number < 3000; number += 1) {
    if (number % 100 === 0) clock.advance(60_000)
    written.write(line(number, { text }))
  }
  const numbers = numbersOf((await tail()).lines)
  expect(numbers.at(-1)).toBe(2999)
  expect(numbers.length).toBeGreaterThan(230)
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, index) => 3000 - numbers.length + index))
  const bytes = readdirSync(folder).map((name) => statSync(join(folder, name)).size)
  expect(Math.max(...bytes)).toBeLessThanOrEqual(256 * 1024)
})

test('a process that complains without end writes 256 KiB in a minute, and goes on in the next', async () => {
  const { ring, tail, clock } = stageRing()
  const written = ring('serve')
  const text = 'x'.repeat(1000)
  for (let number = 0; number < 1000; number += 1) written.write(line(number, { text }))
  expect(numbersOf((await tail()).lines).length).toBeLessThan(260)
  clock.advance(60_000)
  written.write(line(5000))
  expect(numbersOf((await tail()).lines).at(-1)).toBe(5000)
})

test('are gone on with by the next run of the process', async () => {
  const { ring, tail } = stageRing()
  ring('agent').write(line(1))
  ring('agent').write(line(2))
  expect(numbersOf((await tail()).lines)).toEqual([1, 2])
})

test('are cut to what is wanted, the oldest first, and say so', async () => {
  const { ring, tail } = stageRing()
  const written = ring('up')
  for (let number = 0; number < 100; number += 1) written.write(line(number))
  expect(await tail({ lines: 3 })).toMatchObject({ truncated: true })
  expect(numbersOf((await tail({ lines: 3 })).lines)).toEqual([97, 98, 99])
  const { lines } = await tail({ bytesMax: 1000 })
  expect(Buffer.byteLength(JSON.stringify(lines))).toBeLessThanOrEqual(1000)
  expect(numbersOf(lines).at(-1)).toBe(99)
})

test('show no secret, by its value or by its form', async () => {
  const { ring, tail } = stageRing()
  ring('up').write(line(1, { url: 'http://x/s3cret', key: `lk_${'0'.repeat(16)}_${'a'.repeat(64)}` }))
  const { lines } = await tail({ secrets: ['s3cret'] })
  expect(lines[0]).toMatchObject({ url: 'http://x/…', key: '…' })
})

test('on a disk that does not take them are let go', async () => {
  const { tail, clock } = stageRing()
  const ring = new LogRing({ folder: '/proc/nowhere', name: 'up', clock })
  ring.write(line(1))
  expect((await tail()).lines).toEqual([])
})
