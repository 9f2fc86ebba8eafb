/** Whether devices are there, by what is heard of them. */
import { expect, test } from 'bun:test'
import { Liveness } from '../../src/registry/liveness.ts'
import { FakeClock } from '../kit/fake-clock.ts'

function stage() {
  const clock = new FakeClock()
  clock.advance(1_800_000_000_000)
  const liveness = new Liveness({ clock })
  const seen = clock.now()
  return { clock, liveness, isAlive: () => liveness.isAlive({ id: 'cam-01', isOnline: true, seen }) }
}

test('three heartbeats that do not come, and not one less, and a device is gone whatever its broker says', () => {
  const { clock, isAlive } = stage()
  clock.advance(90_000)
  expect(isAlive()).toBe(true)
  clock.advance(1)
  expect(isAlive()).toBe(false)
})

test('while there is no line to the broker nobody is taken for gone; once there is one, all have their time anew', () => {
  const { clock, liveness, isAlive } = stage()
  let isUp = false
  liveness.listenWhile(() => isUp)
  clock.advance(3_600_000)
  expect(isAlive()).toBe(true)
  isUp = true
  clock.advance(90_000)
  expect(isAlive()).toBe(true)
  clock.advance(1)
  expect(isAlive()).toBe(false)
  expect(liveness.isAlive({ id: 'cam-01', isOnline: false, seen: clock.now() })).toBe(false)
})
