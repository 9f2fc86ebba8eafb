import { expect, test } from 'bun:test'
import { threadMs } from '../../src/runtime/thread-time.ts'

test('goes on while the thread works', () => {
  const began = threadMs()
  expect(began).toBeGreaterThan(0)
  while (threadMs() === began);
  expect(threadMs()).toBeGreaterThan(began)
})

test('stands still while the thread waits', () => {
  const [beganMs, busyMs] = [performance.now(), threadMs()]
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  expect(threadMs() - busyMs).toBeLessThan((performance.now() - beganMs) / 2)
})
