/** What a device does with commands: each once, in time or not at all, and always with an answer. */
import { afterEach, describe, expect, test } from 'bun:test'
import { CommandBook } from '../../src/app/agent/command-book.ts'
import { DeviceCommands, type Operations } from '../../src/app/agent/device-commands.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { type Database, openDatabase } from '../../src/kit/database.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import type { Command } from '../../src/link/commands.ts'
import { until } from '../kit/until.ts'

const database = (): Database => openDatabase(':memory:')
let opened: Database | undefined
afterEach(() => {
  opened?.close()
  opened = undefined
})

const command = (number: number, more: object = { op: 'rebirth' }) =>
  ({ rid: number.toString(16).padStart(32, '0'), exp: 1, ...more }) as Command

function stageDevice(operations: Partial<Operations> = {}, on = database()) {
  opened = on
  const told: { rid: string; op: string; state: string; code: string; reason: string; result: unknown }[] = []
  const stop = new AbortController()
  const book = new CommandBook({
    database: on,
    clock: systemClock,
    report: (event) => told.push(event as never),
  })
  const commands = new DeviceCommands({ book, operations: operations as Operations, stop: stop.signal })
  const ended = (count: number) => until(`${count} ended`, () => (told.length >= count ? told : undefined))
  return { commands, told, stop, ended, database: on }
}

test('however often one comes, it is done once, and told once', async () => {
  let done = 0
  const { commands, told, ended, database: same } = stageDevice({ rebirth: async () => (done += 1) })
  for (let times = 0; times < 5; times += 1) commands.take({ command: command(1), isExpired: false })
  await ended(1)
  commands.take({ command: command(1), isExpired: false })
  // Also by another run of the agent.
  const next = stageDevice({ rebirth: async () => (done += 1) }, same)
  next.commands.take({ command: command(1), isExpired: false })
  next.commands.take({ command: command(2), isExpired: false })
  await next.ended(1)
  expect([done, told, next.told]).toEqual([
    2,
    [
      {
        kind: 'command',
        rid: command(1).rid,
        op: 'rebirth',
        state: 'done',
        code: '',
        reason: '',
        result: 1,
      } as never,
    ],
    [expect.objectContaining({ rid: command(2).rid, state: 'done' })],
  ])
})

test('one that comes after its time is not done, and told as expired', () => {
  const { commands, told } = stageDevice({ rebirth: () => Promise.reject(new Error('done')) })
  commands.take({ command: command(1), isExpired: true })
  expect(told).toMatchObject([{ state: 'expired', code: 'expired', reason: 'it came after its time' }])
})

describe('what cannot be done is told with why:', () => {
  test.each([
    [
      'an operation of a newer registry',
      { op: 'dance' },
      'unsupported',
      'Cannot do "dance": expected one of ',
    ],
    ['what goes with it is wrong', { op: 'logs', lines: 0 }, 'input_invalid', 'lines'],
    ['more goes with it than is known', { op: 'rebirth', hard: true }, 'input_invalid', 'hard'],
    ['it fails', { op: 'identify' }, 'config_invalid', 'no such LED'],
  ])('%s', async (_, given, code, words) => {
    const { commands, ended } = stageDevice({
      identify: () => Promise.reject(new EdgeError('config_invalid', 'no such LED')),
    })
    commands.take({ command: command(1, given), isExpired: false })
    expect(await ended(1)).toMatchObject([{ state: 'failed', code, reason: expect.stringContaining(words) }])
  })
})

test('one that a run of the agent did not live to end is told as interrupted by the next, and not done again', () => {
  const first = stageDevice({ rebirth: () => new Promise(() => undefined) })
  first.commands.take({ command: command(1), isExpired: false })
  first.stop.abort()
  expect(first.told).toEqual([])
  const second = stageDevice({ rebirth: () => Promise.reject(new Error('done twice')) }, first.database)
  second.commands.take({ command: command(1), isExpired: false })
  expect(second.told).toMatchObject([{ rid: command(1).rid, state: 'failed', code: 'interrupted' }])
  expect(stageDevice({}, first.database).told).toEqual([])
})

test('four are done at once, 16 wait, and the 21st is refused', async () => {
  const held: (() => void)[] = []
  const { commands, told, ended } = stageDevice({
    rebirth: () => new Promise((resolve) => held.push(() => resolve(null))),
  })
  for (let number = 1; number <= 21; number += 1)
    commands.take({ command: command(number), isExpired: false })
  expect([held.length, told.map(({ rid, code }) => [rid, code])]).toEqual([
    4,
    [[command(21).rid, 'queue_full']],
  ])
  while (told.length < 21) {
    for (const release of held.splice(0)) release()
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect((await ended(21)).filter(({ state }) => state === 'done').length).toBe(20)
})
