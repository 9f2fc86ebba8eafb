/** Requests that are kept: which, how many, how much of them, and that none fails for it. */
import { afterAll, afterEach, describe, expect, test } from 'bun:test'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { Capture } from '../../src/capture/capture.ts'
import { type CaptureRecord, decodeRecords, encodeRecord, wholeRecords } from '../../src/capture/record.ts'
import { type CaptureRule, CaptureRules } from '../../src/capture/rules.ts'
import { listSegments, Segments } from '../../src/capture/segments.ts'
import { Sketches } from '../../src/capture/sketches.ts'
import { Watch } from '../../src/capture/watch.ts'
import { BugError, EdgeError } from '../../src/kit/errors.ts'
import type { Tensor } from '../../src/runtime/backend.ts'
import { createFolder } from '../kit/binary.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { SEED } from '../kit/seed.ts'

const { path, remove } = await createFolder()
afterAll(remove)

const tensor = (name: string, values: readonly number[]): Tensor => {
  const bytes = new Uint8Array(Float32Array.from(values).buffer)
  return { name, datatype: 'FP32', shape: [values.length], bytes }
}

let count = 0
const opened: Capture[] = []
afterEach(async () => {
  for (const capture of opened.splice(0)) await capture.close()
})

async function stageCapture(
  rule: Partial<CaptureRule> | undefined,
  of: { bytesMax?: number; bytesPerMinuteMax?: number; chance?: () => number } = {},
) {
  count += 1
  const root = join(path, String(count))
  const clock = new FakeClock()
  clock.advance(1_800_000_000_000)
  const { bytesMax = 1e9, bytesPerMinuteMax = 1e9, chance = () => 0.5 } = of
  const rules = new CaptureRules({
    clock,
    configured: () =>
      rule === undefined ? undefined : { percent: 0, onFailure: false, bytesMax: 1e9, ...rule },
  })
  const random = { fraction: chance, bytes: () => new Uint8Array(0) }
  const segments = await Segments.open(root, { clock, bytesMax })
  const capture = new Capture({ rules, segments, clock, random, bytesPerMinuteMax })
  opened.push(capture)
  const watch = new Watch({ capture, sketches: new Sketches({ percentOf: () => 0, random }) })
  const records = async (): Promise<CaptureRecord[]> => {
    await capture.flush()
    const files = await Promise.all((await listSegments(root)).map(({ path: file }) => readFile(file)))
    return files.flatMap((file) => [...decodeRecords(file)])
  }
  const ask = (outcome: {
    outputs?: readonly number[]
    error?: unknown
    input?: readonly number[]
    model?: string
  }) => {
    const eye = watch.look({ model: outcome.model ?? 'echo', version: '1' })
    const seen = { id: 'r-1', inputs: [tensor('IN', outcome.input ?? [1, 2])] }
    if (outcome.error !== undefined) eye?.failed({ ...seen, error: outcome.error })
    else eye?.answered({ ...seen, outputs: [tensor('OUT', outcome.outputs ?? [3])] })
    return eye !== undefined
  }
  return { root, clock, rules, capture, segments, records, ask }
}

describe('which requests are kept', () => {
  test('none, unless somebody has asked for it: nobody even looks', async () => {
    const { ask, records } = await stageCapture(undefined)
    expect(ask({})).toBe(false)
    expect(await records()).toEqual([])
  })

  test.each([
    [0.0999, 1],
    [0.1, 0],
  ])('by chance: where it falls on %p, %p of them at 10 %%', async (chance, kept) => {
    const { ask, records } = await stageCapture({ percent: 10 }, { chance: () => chance })
    ask({})
    expect((await records()).length).toBe(kept)
  })

  test('that fail in the model, do not fit it, or are answered with NaN; not those that came at a bad time', async () => {
    const { ask, records } = await stageCapture({ onFailure: true })
    ask({})
    ask({ error: new EdgeError('queue_full', 'full') })
    ask({ error: new EdgeError('cancelled', 'gone') })
    ask({ error: new EdgeError('runtime_failed', 'no such node') })
    ask({ error: new EdgeError('input_invalid', 'wrong shape') })
    ask({ error: new BugError('oops') })
    ask({ outputs: [1, Number.NaN] })
    expect((await records()).map(({ reason, error }) => [reason, error?.code])).toEqual([
      ['failure', 'runtime_failed'],
      ['failure', 'input_invalid'],
      ['failure', 'internal'],
      ['failure', 'output_unsupported'],
    ])
  })

  test('as somebody said from afar, for so long; then as the config says again', async () => {
    const { ask, rules, clock, records } = await stageCapture({ onFailure: true })
    rules.start('echo', { percent: 100, onFailure: false, seconds: 60 })
    ask({})
    ask({ error: new EdgeError('runtime_failed', 'x') })
    clock.advance(60_000)
    ask({})
    rules.stop('echo', { seconds: 60 })
    ask({ error: new EdgeError('runtime_failed', 'x') })
    clock.advance(60_000)
    ask({ error: new EdgeError('runtime_failed', 'y') })
    expect((await records()).map(({ error }) => error?.message)).toEqual([undefined, 'x', 'y'])
  })
})

test('a record holds what was asked and answered, with who and when', async () => {
  const { ask, records, clock } = await stageCapture({ percent: 100 })
  ask({ input: [1, -2], outputs: [0.5] })
  const [record] = await records()
  expect(record).toEqual({
    id: 'r-1',
    time: new Date(clock.now()).toISOString(),
    model: 'echo',
    version: '1',
    reason: 'sample',
    error: null,
    inputs: [{ name: 'IN', datatype: 'FP32', shape: [2], bytes: Buffer.from(Float32Array.of(1, -2).buffer) }],
    outputs: [{ name: 'OUT', datatype: 'FP32', shape: [1], bytes: Buffer.from(Float32Array.of(0.5).buffer) }],
  } as never)
})

test('the bytes are copied: what becomes of them afterwards changes nothing', async () => {
  const { capture, records } = await stageCapture({ percent: 100 })
  const input = tensor('IN', [7])
  const rule = { percent: 100, onFailure: false, bytesMax: 1e9 }
  capture.take({ model: 'echo', version: '1', rule }, { id: '', inputs: [input], outputs: [] })
  input.bytes.fill(255)
  expect((await records())[0]?.inputs[0]?.bytes).toEqual(Buffer.from(Float32Array.of(7).buffer) as never)
})

describe('bounds', () => {
  const megabyte = Array.from({ length: 250_000 }, () => 1)

  test('a model takes no more of the disk than its share, and the newest records are there', async () => {
    const { ask, records, root, capture } = await stageCapture({ percent: 100, bytesMax: 65_536 })
    for (let index = 0; index < 500; index += 1) {
      ask({ input: [index, ...Array.from({ length: 250 }, () => 0)] })
      if (index % 50 === 0) await capture.flush()
    }
    const kept = (await records()).map(({ inputs }) => Buffer.from(inputs[0]?.bytes ?? []).readFloatLE(0))
    expect(kept.at(-1)).toBe(499)
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, index) => 500 - kept.length + index))
    expect((await listSegments(root)).reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(65_536)
    expect(kept.length).toBeGreaterThan(30)
  })

  test('all models together take no more than the device gives, and the oldest goes whosever it is', async () => {
    const { ask, root, capture, clock } = await stageCapture({ percent: 100 }, { bytesMax: 2_500_000 })
    for (const model of ['a', 'b', 'c']) {
      clock.advance(1)
      ask({ model, input: megabyte })
      await capture.flush()
    }
    expect((await listSegments(root)).map(({ model }) => model)).toEqual(['b', 'c'])
    expect(capture.snapshot.models.map(({ model, bytes }) => [model, bytes > 1e6])).toEqual([
      ['a', false],
      ['b', true],
      ['c', true],
    ])
  })

  test('what is written in a minute is bounded, and begins anew in the next', async () => {
    const { ask, capture, clock, records } = await stageCapture(
      { percent: 100 },
      { bytesPerMinuteMax: 2_500_000 },
    )
    for (let index = 0; index < 5; index += 1) ask({ input: megabyte })
    expect(capture.snapshot.dropped).toEqual({ too_large: 0, queue_full: 0, rate: 3, storage_failed: 0 })
    clock.advance(60_000)
    ask({ input: megabyte })
    expect((await records()).length).toBe(3)
  })

  test('a disk that is too slow, or takes nothing, costs records and nothing else', async () => {
    const { ask, capture } = await stageCapture({ percent: 100 })
    for (let index = 0; index < 300; index += 1) ask({})
    expect(capture.snapshot.dropped.queue_full).toBeGreaterThan(0)
    await capture.flush()
    const broken = await stageCapture({ percent: 100 })
    await Bun.write(broken.root, 'a file where the folder should be')
    for (let index = 0; index < 3; index += 1) broken.ask({})
    await broken.capture.flush()
    expect(broken.capture.snapshot.dropped.storage_failed).toBe(3)
  })

  test('one of more than 16 MiB is let go', async () => {
    const { capture, records } = await stageCapture({ percent: 100 })
    const bytes = new Uint8Array(16 * 1024 ** 2 + 1)
    const rule = { percent: 100, onFailure: false, bytesMax: 1e9 }
    const input = { name: 'IN', datatype: 'UINT8', shape: [bytes.length], bytes } as const
    capture.take({ model: 'echo', version: '1', rule }, { id: '', inputs: [input], outputs: [] })
    expect([capture.snapshot.dropped.too_large, await records()]).toEqual([1, []])
  })
})

test('what lies there from before is known by the next run, and counts', async () => {
  const { ask, root, capture, clock } = await stageCapture({ percent: 100 })
  ask({})
  await capture.flush()
  const again = await Segments.open(root, { clock, bytesMax: 1e9 })
  expect(again.bytesOf('echo')).toBeGreaterThan(0)
  expect(await readdir(join(root, 'echo'))).toHaveLength(1)
})

test('a file of records that was cut off anywhere gives those that are whole', () => {
  const records = [1, 2, 3].map((value) => {
    const more = {
      id: String(value),
      time: '',
      model: 'm',
      version: '1',
      reason: 'sample',
      error: null,
    } as const
    return encodeRecord({ ...more, inputs: [tensor('IN', [value])], outputs: [] })
  })
  const ends = records.map((_, index) =>
    records.slice(0, index + 1).reduce((sum, { byteLength }) => sum + byteLength, 0),
  )
  const file = Buffer.concat(records)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: file.length }), (cut) => {
      const whole = ends.filter((end) => end <= cut).length
      expect(wholeRecords(file.subarray(0, cut)).records).toBe(whole)
      if (whole > 0) {
        const ids = [...decodeRecords(file.subarray(0, cut))].map(({ id }) => id)
        expect(ids).toEqual(['1', '2', '3'].slice(0, whole))
      }
    }),
    { seed: SEED },
  )
})

test('what is no record is refused in words', () => {
  expect(() => [...decodeRecords(Buffer.from('not a record at all'))]).toThrow(
    'the file does not begin with one',
  )
})
