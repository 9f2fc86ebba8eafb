import { describe, expect, test } from 'bun:test'
import type { Schedule } from '../../src/ota/update.ts'
import { closedBecause } from '../../src/ota/window.ts'
import { assigned } from '../kit/ota-stage.ts'

function schedule(of: Partial<Schedule>): Schedule {
  return { ...assigned().schedule, ...of }
}

const at = (text: string) => Date.parse(`2026-03-0${text}Z`)
/** Three hours from two o'clock. */
const NIGHT = schedule({ window: '0 2 * * *', windowSeconds: 3 * 3600 })

describe('a window that opens at two for three hours', () => {
  test.each([
    ['1T01:59:59', 'the window opens at 2026-03-01T02:00:00.000Z'],
    ['1T02:00:00', undefined],
    ['1T04:59:59', undefined],
    ['1T05:00:00', 'the window opens at 2026-03-02T02:00:00.000Z'],
    ['1T23:00:00', 'the window opens at 2026-03-02T02:00:00.000Z'],
  ])('%s', (time, why) => {
    expect(closedBecause(NIGHT, at(time))).toBe(why as string)
  })
})

test('one that opens only on Sundays', () => {
  const sunday = schedule({ window: '30 22 * * 0', windowSeconds: 7200 })
  // 2026-03-01 is a Sunday.
  expect(closedBecause(sunday, at('2T00:29:00'))).toBeUndefined()
  expect(closedBecause(sunday, at('2T00:30:00'))).toBe('the window opens at 2026-03-08T22:30:00.000Z')
})

test('not before a time, with or without a window', () => {
  const early = schedule({ notBeforeMs: at('3T02:30:00') })
  expect(closedBecause(early, at('3T02:29:59'))).toBe('not before 2026-03-03T02:30:00.000Z')
  expect(closedBecause(early, at('3T02:30:00'))).toBeUndefined()
  expect(closedBecause({ ...NIGHT, notBeforeMs: at('3T02:30:00') }, at('3T02:10:00'))).toContain('not before')
})

test('one that never opens says so', () => {
  const never = schedule({ window: '0 0 31 2 *', windowSeconds: 60 })
  expect(closedBecause(never, at('1T00:00:00'))).toBe('the window "0 0 31 2 *" never opens again')
})

test.each(['', 'x', '0 2 * *', '61 * * * *', '0 2 * * * * 2030'])(
  '"%s" is no window, and that is said',
  (window) => {
    expect(() => closedBecause(schedule({ window }), 0)).toThrow(
      /^Cannot use the window ".*expected a cron expression/,
    )
  },
)
