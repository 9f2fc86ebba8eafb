import { describe, expect, test } from 'bun:test'
import { chooseBatch } from '../../src/inference/scheduling.ts'
import { scheduling } from '../kit/fake-session.ts'

const item = (batchSize: number, more: { key?: string; arrivedMs?: number } = {}) => ({
  batchSize,
  batchKey: more.key ?? 'a',
  arrivedMs: more.arrivedMs ?? 0,
})

const dynamic = (more: Parameters<typeof scheduling>[0] = {}) =>
  scheduling({ batchSizeMax: 8, isDynamic: true, queueDelayMsMax: 10, ...more })

test('without dynamic batching each request goes by itself', () => {
  expect(chooseBatch([item(1), item(1)], scheduling(), 0)).toEqual({ send: 1 })
})

test('nothing that waits is nothing to send', () => {
  expect(chooseBatch([], dynamic(), 0)).toEqual({ waitMs: Number.POSITIVE_INFINITY })
})

describe('without a delay', () => {
  test('all that wait go together, up to the largest batch', () => {
    const settings = dynamic({ queueDelayMsMax: 0 })
    expect(chooseBatch([item(1), item(2)], settings, 0)).toEqual({ send: 2 })
    expect(chooseBatch([item(4), item(4), item(1)], settings, 0)).toEqual({ send: 2 })
    expect(chooseBatch([item(5), item(4)], settings, 0)).toEqual({ send: 1 })
  })
})

describe('with a delay', () => {
  test('a batch that is full does not wait', () => {
    expect(chooseBatch([item(4), item(4)], dynamic(), 0)).toEqual({ send: 2 })
  })

  test('one that is not waits for as long as the oldest may, and then goes', () => {
    const waiting = [item(1, { arrivedMs: 3 }), item(1, { arrivedMs: 6 })]
    expect(chooseBatch(waiting, dynamic(), 8)).toEqual({ waitMs: 5 })
    expect(chooseBatch(waiting, dynamic(), 13)).toEqual({ send: 2 })
  })

  test('one that the next would overfill, or does not fit into, goes without it', () => {
    expect(chooseBatch([item(5), item(4)], dynamic(), 0)).toEqual({ send: 1 })
    expect(chooseBatch([item(1), item(1), item(1, { key: 'b' })], dynamic(), 0)).toEqual({ send: 2 })
  })

  test('a preferred size goes as soon as it is reached, the largest that is', () => {
    const settings = dynamic({ preferredBatchSizes: [2, 4] })
    expect(chooseBatch([item(1)], settings, 0)).toEqual({ waitMs: 10 })
    expect(chooseBatch([item(1), item(1)], settings, 0)).toEqual({ send: 2 })
    expect(
      chooseBatch(
        Array.from({ length: 5 }, () => item(1)),
        settings,
        0,
      ),
    ).toEqual({ send: 4 })
  })
})
