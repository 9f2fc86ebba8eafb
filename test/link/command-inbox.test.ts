/** Commands are held against the registry's clock, whatever the device's own says. */
import { expect, test } from 'bun:test'
import { CommandInbox } from '../../src/link/command-inbox.ts'
import { FakeClock } from '../kit/fake-clock.ts'

const NOW = 1_800_000_000_000
const command = (exp: number, rid = '0'.repeat(32)) => ({ rid, op: 'rebirth', exp })

function stageInbox() {
  const clock = new FakeClock()
  const handed: boolean[] = []
  const inbox = new CommandInbox({ clock, hand: ({ isExpired }) => handed.push(isExpired) })
  return { clock, handed, inbox }
}

test('they wait until the registry has told the time', () => {
  const { inbox, handed } = stageInbox()
  inbox.take(command(NOW + 1))
  inbox.take(command(NOW - 1))
  expect(handed).toEqual([])
  inbox.know(NOW)
  expect(handed).toEqual([false, true])
})

test.each([
  ['at their end', 60_000, false],
  ['a millisecond later', 60_001, true],
])('%s: expired is %s ms after the time was told', (_, ms, isExpired) => {
  const { inbox, handed, clock } = stageInbox()
  // The device believes that it is 1970.
  inbox.know(NOW)
  clock.advance(ms)
  inbox.take(command(NOW + 60_000))
  expect(handed).toEqual([isExpired])
})

test('the time that was told last counts', () => {
  const { inbox, handed } = stageInbox()
  inbox.know(NOW)
  inbox.know(NOW + 120_000)
  inbox.take(command(NOW + 60_000))
  expect(handed).toEqual([true])
})

test('32 wait, and what comes on top is let go: the registry says it again', () => {
  const { inbox, handed } = stageInbox()
  for (let index = 0; index < 40; index += 1) inbox.take(command(NOW + 1))
  inbox.know(NOW)
  expect(handed.length).toBe(32)
})
