/** What a service manager is told reaches it. */
import { afterAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { openNotifySocket } from '../../src/health/notify-socket.ts'
import { createFolder } from '../kit/binary.ts'
import { NotifyReceiver } from '../kit/notify-receiver.ts'

const folder = await createFolder()
afterAll(folder.remove)

test.each([
  ['a path', join(folder.path, 'notify')],
  ['an abstract name', `@limpet-test-${process.pid}`],
])('a message to %s comes as one, with all its lines', (_, path) => {
  using receiver = new NotifyReceiver(path)
  const send = openNotifySocket(path)
  expect(send('READY=1\nSTATUS=serving ✓')).toBe(true)
  expect(send('STOPPING=1')).toBe(true)
  expect(receiver.messages()).toEqual(['READY=1\nSTATUS=serving ✓', 'STOPPING=1'])
})

test('to a reader that has gone is not taken, and the next one is', () => {
  const path = join(folder.path, 'gone')
  const send = openNotifySocket(path)
  expect(send('READY=1')).toBe(false)
  using receiver = new NotifyReceiver(path)
  expect(send('READY=1')).toBe(true)
  expect(receiver.messages()).toEqual(['READY=1'])
})

test('a reader that takes nothing does not hold up who sends', () => {
  using receiver = new NotifyReceiver(join(folder.path, 'full'))
  const send = openNotifySocket(receiver.path)
  // The system keeps a bounded number for who does not read, hundreds at most.
  const taken = Array.from({ length: 20_000 }, () => send('WATCHDOG=1')).filter(Boolean).length
  expect(taken).toBeGreaterThan(0)
  expect(taken).toBeLessThan(20_000)
})

test.each(['', 'relative', '@', `/${'x'.repeat(107)}`])('"%s" is refused by name', (path) => {
  expect(() => openNotifySocket(path)).toThrow(`Cannot use NOTIFY_SOCKET="${path}": expected "/PATH" or`)
})

test('a path of 107 bytes is the longest', () => {
  expect(openNotifySocket(`/${'x'.repeat(106)}`)('READY=1')).toBe(false)
})
