import { expect, test } from 'bun:test'
import { areFinite } from '../../src/inference/finite.ts'
import type { Datatype } from '../../src/runtime/datatypes.ts'

function output(datatype: Datatype, array: ArrayBufferView<ArrayBuffer>) {
  return {
    name: 'y',
    datatype,
    shape: [1],
    bytes: new Uint8Array(array.buffer, array.byteOffset, array.byteLength),
  }
}

test.each([
  ['plain numbers', output('FP32', new Float32Array([0, -1, 3e38]))],
  ['none at all', output('FP32', new Float32Array(0))],
  ['integers whose bytes would be NaN', output('INT32', new Int32Array([-1, -1]))],
])('%s are finite', (_, tensor) => {
  expect(areFinite([tensor])).toBe(true)
})

test.each([
  ['NaN', output('FP32', new Float32Array([1, Number.NaN]))],
  ['infinity', output('FP64', new Float64Array([Number.NEGATIVE_INFINITY]))],
  ['of two bytes', output('FP16', new Float16Array([1, Number.POSITIVE_INFINITY]))],
  ['all of a large answer', output('FP32', new Float32Array(1_000_000).fill(Number.NaN))],
  [
    'a tenth of a large answer',
    output(
      'FP32',
      Float32Array.from({ length: 500_000 }, (_, i) => (i < 50_000 ? Number.NaN : 1)),
    ),
  ],
])('%s is not', (_, tensor) => {
  expect(areFinite([output('FP32', new Float32Array([1])), tensor])).toBe(false)
})
