import { describe, expect, test } from 'bun:test'
import { readBounded } from '../../src/client/bounded.ts'
import type { TensorSpec } from '../../src/client/tensor.ts'
import { allowsShape, fitShape } from '../../src/client/tensor.ts'
import { quote, quoteSome, toPrintable } from '../../src/client/text.ts'
import { createZeroTensor } from '../../src/client/value-tensor.ts'

function streamOf(...chunks: number[][]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(Uint8Array.from(chunk))
      controller.close()
    },
  })
}

describe('a stream is read', () => {
  test('up to the bound', async () => {
    expect(await readBounded(streamOf([1, 2], [3]), 3)).toEqual(Uint8Array.of(1, 2, 3))
  })

  test('not past it, and then let go', async () => {
    const cancelled = Promise.withResolvers<void>()
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(Uint8Array.of(1, 2)),
      cancel: () => cancelled.resolve(),
    })
    expect(await readBounded(endless, 3)).toBeUndefined()
    await cancelled.promise
  })
})

describe('a shape for so many elements', () => {
  test.each([
    [[-1, -1], 576, [1, 576]],
    [[-1, 576], 576, [1, 576]],
    [[-1, 576], 1152, [2, 576]],
    [[2, -1, 3], 12, [2, 2, 3]],
    [[], 1, []],
    [[4], 4, [4]],
    [[-1, 2], 3, undefined],
    [[], 2, undefined],
    [[4], 3, undefined],
    [[-1, 0], 3, undefined],
  ])('%p, %p', (wanted, count, shape) => {
    expect(fitShape(wanted, count)).toEqual(shape)
  })
})

test('a model takes a shape of as many axes where it is free or the same', () => {
  expect(allowsShape([-1, 3], [7, 3])).toBe(true)
  expect(allowsShape([-1, 3], [7, 4])).toBe(false)
  expect(allowsShape([-1, 3], [3])).toBe(false)
})

describe('the state of the first window', () => {
  const input: TensorSpec = { name: 'h', datatype: 'UINT8', shape: [-1, -1] }

  test('is zeros in the shape of the hint', () => {
    const { shape, bytes } = createZeroTensor(input, [1, 3])
    expect({ shape, bytes }).toEqual({ shape: [1, 3], bytes: new Uint8Array(3) })
  })

  test('in a shape that the model does not take is refused', () => {
    expect(() => createZeroTensor(input, [3])).toThrow('the model takes [-1, -1], the hints make [3]')
  })

  test('larger than a hint may ask for is refused', () => {
    expect(() => createZeroTensor(input, [1, 2 ** 26 + 1])).toThrow(
      'its hint has 67108865 elements, at most 67108864',
    )
  })
})

describe('a name from outside', () => {
  test('is quoted up to two hundred characters', () => {
    expect(quote('x'.repeat(200))).toBe(`"${'x'.repeat(200)}"`)
    expect(quote('x'.repeat(201))).toBe(`"${'x'.repeat(200)}…"`)
  })

  test('is one of so many', () => {
    expect(quoteSome([], 2)).toBe('none')
    expect(quoteSome(['a', 'b'], 2)).toBe('"a", "b"')
    expect(quoteSome(['a', 'b', 'c'], 2)).toBe('"a", "b" and 1 more')
  })

  test('does not move the cursor or turn the text around', () => {
    expect(toPrintable('a\u001b[2J\r\n\u202e\u2028é漢😀')).toBe('a\uFFFD[2J\uFFFD\uFFFD\uFFFD\uFFFDé漢😀')
  })
})
