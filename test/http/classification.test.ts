import { describe, expect, test } from 'bun:test'
import { classifyOutput } from '../../src/http/classification.ts'
import { encodeJsonData } from '../../src/http/json-tensor.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import type { Datatype } from '../../src/runtime/datatypes.ts'

function outputOf(datatype: Datatype, shape: number[], values: ArrayBufferView) {
  const { buffer, byteOffset, byteLength } = values
  return { name: 'scores', datatype, shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) }
}

const LABELS = ['cat', 'dog', '', 'bird']

function classify(output: ReturnType<typeof outputOf>, classes: number, labels?: readonly string[]) {
  const classified = classifyOutput(output, { classes, labels })
  const texts: unknown = JSON.parse(encodeJsonData(classified))
  return { name: classified.name, datatype: classified.datatype, shape: classified.shape, texts }
}

describe('the largest values, each as value:index:label', () => {
  test('of one dimension: the output is one item', () => {
    const output = outputOf('FP32', [4], Float32Array.of(0.25, 4, -1, 0.5))
    expect(classify(output, 2, LABELS)).toEqual({
      name: 'scores',
      datatype: 'BYTES',
      shape: [2],
      texts: ['4:1:dog', '0.5:3:bird'],
    })
  })

  test('of more dimensions: the first is the batch, the others are counted through', () => {
    const output = outputOf('INT32', [2, 2, 2], Int32Array.of(1, 2, 3, 4, 8, 7, 6, 5))
    expect(classify(output, 2)).toMatchObject({ shape: [2, 2], texts: ['4:3', '3:2', '8:0', '7:1'] })
  })

  test('a scalar is one class', () => {
    expect(classify(outputOf('FP64', [], Float64Array.of(0.5)), 3)).toMatchObject({
      shape: [1],
      texts: ['0.5:0'],
    })
  })

  test('no more than there are; none of an empty batch', () => {
    expect(classify(outputOf('UINT8', [1, 2], Uint8Array.of(1, 2)), 9)).toMatchObject({
      shape: [1, 2],
      texts: ['2:1', '1:0'],
    })
    expect(classify(outputOf('UINT8', [0, 2], new Uint8Array(0)), 9)).toMatchObject({
      shape: [0, 0],
      texts: [],
    })
  })

  test('of equal values the first comes first, what is no number comes last', () => {
    const output = outputOf('FP32', [5], Float32Array.of(Number.NaN, 1, 1, Number.POSITIVE_INFINITY, 1))
    expect(classify(output, 5).texts).toEqual(['Infinity:3', '1:1', '1:2', '1:4', 'NaN:0'])
  })

  test('an empty label and one that is not there are left out', () => {
    const output = outputOf('UINT8', [5], Uint8Array.of(1, 2, 3, 4, 5))
    expect(classify(output, 5, LABELS).texts).toEqual(['5:4', '4:3:bird', '3:2', '2:1:dog', '1:0:cat'])
  })

  test.each<[Datatype, ArrayBufferView, string[]]>([
    ['FP16', Float16Array.of(0.5, 1.5), ['1.5:1', '0.5:0']],
    ['BF16', Uint16Array.of(0x3f00, 0x3fc0), ['1.5:1', '0.5:0']],
    ['FP64', Float64Array.of(0.5, 1.5), ['1.5:1', '0.5:0']],
    ['INT8', Int8Array.of(-2, -1), ['-1:1', '-2:0']],
    ['INT16', Int16Array.of(-2, 300), ['300:1', '-2:0']],
    ['UINT16', Uint16Array.of(2, 60_000), ['60000:1', '2:0']],
    ['UINT32', Uint32Array.of(2, 4_000_000_000), ['4000000000:1', '2:0']],
    ['INT64', BigInt64Array.of(2n ** 53n, 2n ** 53n + 1n), ['9007199254740993:1', '9007199254740992:0']],
    ['UINT64', BigUint64Array.of(1n, 2n ** 64n - 1n), ['18446744073709551615:1', '1:0']],
    ['BOOL', Uint8Array.of(0, 1), ['1:1', '0:0']],
  ])('%s', (datatype, values, texts) => {
    expect(classify(outputOf(datatype, [2], values), 2).texts).toEqual(texts)
  })

  test.each<Datatype>(['BYTES', 'FP8E4M3FN', 'COMPLEX64'])(
    '%s has no values to compare: refused',
    (datatype) => {
      const refused = () => classify(outputOf(datatype, [0], new Uint8Array(0)), 1)
      expect(refused).toThrow(EdgeError)
      expect(refused).toThrow(`Cannot answer output "scores" with classes: its datatype is ${datatype}`)
    },
  )
})
