/** How the doctor's report reads, and what it does with what ends badly. */
import { describe, expect, test } from 'bun:test'
import { fitting } from '../../../src/app/doctor/bundle.ts'
import { checksOf, type Topic } from '../../../src/app/doctor/check.ts'
import type { Context } from '../../../src/app/doctor/context.ts'
import { describeFailure } from '../../../src/app/doctor/failure.ts'
import { describeEnd } from '../../../src/app/doctor/isolate.ts'
import { look, runLooks } from '../../../src/app/doctor/look.ts'
import { describeReport } from '../../../src/app/doctor/print.ts'
import { makeReport, reportJson } from '../../../src/app/doctor/report.ts'
import { FlowingClock } from '../../kit/flowing-clock.ts'

const of = (topic: Topic) => checksOf(topic)
const CHECKS = [
  of('storage').fault('space', 'no room is left', { fix: 'make room\nor buy a disk' }),
  of('machine').ok('board', 'a machine'),
  of('storage').note('wear', 'it is old'),
]
const report = makeReport(CHECKS, { timeMs: 0, tookMs: 1234 })

describe('a report', () => {
  test('is in the order in which it reads best, and healthy without a fault', () => {
    expect(report.checks.map(({ id }) => id)).toEqual(['machine.board', 'storage.space', 'storage.wear'])
    expect(report.counts).toEqual({ ok: 1, note: 1, warning: 0, fault: 1 })
    expect(report.healthy).toBe(false)
    expect(makeReport(CHECKS.slice(1), { timeMs: 0, tookMs: 0 }).healthy).toBe(true)
  })

  test('in words names each topic once, each thing to do on a line, and the faults at the end', () => {
    expect(describeReport(report, undefined)).toEqual([
      'machine       ok     a machine',
      'storage       FAULT  no room is left',
      '                     → make room',
      '                     → or buy a disk',
      '              note   it is old',
      '',
      'Something needs a person:',
      '  storage: no room is left',
      '1 fault, 0 warn, 1 note, 1 ok; took 1.2 s',
    ])
  })

  test('on a terminal keeps within its width', () => {
    const text = 'one two three four five six seven eight nine ten eleven twelve thirteen'
    const long = makeReport([of('machine').ok('board', text)], { timeMs: 0, tookMs: 0 })
    const lines = describeReport(long, 70)
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(70)
    expect(lines.slice(0, 2).join(' ').replaceAll(/\s+/g, ' ')).toBe(`machine ok ${text}`)
  })

  test('as JSON has all of it', () => {
    expect(reportJson(report)).toMatchObject({
      format: 2,
      healthy: false,
      time: '1970-01-01T00:00:00.000Z',
      took_ms: 1234,
      checks: report.checks,
    })
  })
})

describe('a look', () => {
  const context = {
    options: { seconds: 8 },
    clock: new FlowingClock(),
    signal: new AbortController().signal,
  } as unknown as Context

  test('that fails or hangs costs its own topic only', async () => {
    const looks = [
      look(
        'clock',
        () => Promise.reject(new Error('the clock has stopped')),
        () => [],
      ),
      look(
        'network',
        () => new Promise<never>(() => undefined),
        () => [],
      ),
      look(
        'machine',
        () => 'a machine',
        (text) => [of('machine').ok('board', text)],
      ),
    ]
    expect(await runLooks(looks, context)).toMatchObject([
      { id: 'clock.failed', status: 'fault', text: 'the clock has stopped' },
      { id: 'network.late', status: 'warning', text: 'no answer within 8 s: what is asked there hangs' },
      { id: 'machine.board', status: 'ok' },
    ])
  })
})

describe('what loads libraries', () => {
  const end = { signal: null, exitCode: null, complaints: '', after: CHECKS[1], secondsMax: undefined }
  test.each([
    [{ ...end, signal: 'SIGSEGV' }, /crashed with SIGSEGV, after it had found: a machine$/],
    [{ ...end, signal: 'SIGKILL', secondsMax: 20 }, /did not end within 20 s/],
    [{ ...end, signal: 'SIGKILL' }, /was killed \(for want of memory\?\)/],
    [
      { ...end, exitCode: 70, complaints: 'oh no\n', after: undefined },
      /ended with 70, before it had found anything; it said: oh no$/,
    ],
  ])('may end badly, and that is a check: %j', (how, text) => {
    expect(describeEnd(how)).toMatchObject({
      id: 'runtime.ended',
      status: 'fault',
      text: expect.stringMatching(text),
    })
  })
})

test.each([
  ['ECONNREFUSED: Unable to connect. Is the computer able to access the url?', 'nobody listens there'],
  ['The operation timed out.', 'no answer in time'],
  ['certificate has expired', 'certificate has expired'],
])('a failure that reads "%s" is told as "%s"', (message, words) => {
  expect(describeFailure(new Error(message))).toBe(words)
})

test('a bundle keeps within its room: the end of each file, and the first ones first', () => {
  const big = (letter: string) => `${letter}${'x'.repeat(2 * 1024 ** 2)}`
  const files = Array.from({ length: 9 }, (_, index) => [`file-${index}`, big(String(index))] as const)
  const kept = fitting([...files, ['last', 'small']])
  expect(kept.map(([name]) => name)).toEqual([...files.slice(0, 8).map(([name]) => name), 'left-out.txt'])
  expect(kept.at(-1)?.[1]).toBe('file-8\nlast\n')
  expect(kept[0]?.[1]).toBe('x'.repeat(1024 ** 2))
})
