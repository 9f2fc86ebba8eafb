/** The variables that Limpet reads. */
import { afterEach, describe, expect, test } from 'bun:test'
import { fstatSync } from 'node:fs'
import { childEnvironment, readEnvironment } from '../../src/config/environment.ts'

afterEach(() => void delete process.env['LIMPET_CRASH_AT'])

test('without LIMPET_CRASH_AT nothing crashes; with one it is a number', () => {
  expect(readEnvironment().crashAt).toBeUndefined()
  process.env['LIMPET_CRASH_AT'] = '12'
  expect(readEnvironment().crashAt).toBe(12)
})

test.each(['0', '-1', '1.5', '', 'all', '1e3', '9999999999'])('"%s" is refused', (text) => {
  process.env['LIMPET_CRASH_AT'] = text
  expect(readEnvironment).toThrow(`Cannot use LIMPET_CRASH_AT="${text}": expected a whole number from 1 on`)
})

describe('the watchdog of a service manager', () => {
  afterEach(() => {
    for (const name of ['WATCHDOG_USEC', 'WATCHDOG_PID', 'NOTIFY_SOCKET', 'JOURNAL_STREAM'])
      delete process.env[name]
  })

  test('is in milliseconds, and only for the process that is meant', () => {
    expect(readEnvironment()).toMatchObject({ watchdogMs: undefined, notifySocket: undefined })
    process.env['NOTIFY_SOCKET'] = '/run/notify'
    process.env['WATCHDOG_USEC'] = '60000000'
    expect(readEnvironment()).toMatchObject({ watchdogMs: 60_000, notifySocket: '/run/notify' })
    process.env['WATCHDOG_PID'] = String(process.pid)
    expect(readEnvironment().watchdogMs).toBe(60_000)
    process.env['WATCHDOG_PID'] = '1'
    expect(readEnvironment().watchdogMs).toBeUndefined()
  })

  test.each(['0', 'soon', '1.5', '1234567890123456'])('"%s" is refused by name', (text) => {
    process.env['WATCHDOG_USEC'] = text
    expect(readEnvironment).toThrow(`Cannot use WATCHDOG_USEC="${text}"`)
  })

  test('a child process is told nothing of it', () => {
    process.env['NOTIFY_SOCKET'] = '/run/notify'
    process.env['WATCHDOG_USEC'] = '60000000'
    expect(childEnvironment({ A: '1' })).toMatchObject({
      A: '1',
      NOTIFY_SOCKET: undefined,
      WATCHDOG_USEC: undefined,
    })
  })

  test('only what goes into the journal is for the journal', () => {
    expect(readEnvironment().isToJournal).toBe(false)
    process.env['JOURNAL_STREAM'] = '1:2'
    expect(readEnvironment().isToJournal).toBe(false)
    const { dev, ino } = fstatSync(2)
    process.env['JOURNAL_STREAM'] = `${dev}:${ino}`
    expect(readEnvironment().isToJournal).toBe(true)
  })
})
