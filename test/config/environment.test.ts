/** The variables that Limpet reads. */
import { afterEach, expect, test } from 'bun:test'
import { readEnvironment } from '../../src/config/environment.ts'

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
