import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Datatype, decodeValues, encodeValues } from '../../src/client/datatypes.ts'
import type { Tensor } from '../../src/client/tensor.ts'
import { decodeAnswer, encodeRequest } from '../../src/client/wire.ts'
import { SEED } from '../kit/seed.ts'

function joinAnswer(header: unknown, ...blobs: Uint8Array[]): [body: Uint8Array, headerLength: string] {
  const json = Buffer.from(JSON.stringify(header))
  return [Buffer.concat([json, ...blobs]), String(json.length)]
}

function asJson(header: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(header))
}

const tensors: fc.Arbitrary<Tensor> = fc
  .record({
    name: fc.string({ unit: 'grapheme' }),
    datatype: fc.constantFrom(...Datatype.options.filter((datatype) => datatype !== 'BYTES')),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
  })
  .chain(({ name, datatype, shape }) => {
    const elements = shape.reduce((product, side) => product * side, 1)
    const elementBytes = encodeValues(datatype, [0]).length
    const size = { minLength: elements * elementBytes, maxLength: elements * elementBytes }
    return fc.uint8Array(size).map((bytes): Tensor => ({ name, datatype, shape, bytes }))
  })

test('what a request carries, a server that echoes it brings back', () => {
  fc.assert(
    fc.property(fc.array(tensors, { maxLength: 5 }), (inputs) => {
      const { headerBytes, body } = encodeRequest(inputs)
      const header = JSON.parse(Buffer.from(body.subarray(0, headerBytes)).toString()) as { inputs: unknown }
      const [answer, headerLength] = joinAnswer({ outputs: header.inputs }, body.subarray(headerBytes))
      const { outputs } = decodeAnswer(answer, headerLength)
      expect(outputs.map((output) => ({ ...output, bytes: [...output.bytes] }))).toEqual(
        inputs.map((input) => ({ ...input, bytes: [...input.bytes] })),
      )
    }),
    { seed: SEED },
  )
})

test('any other bytes are an answer or a refusal, never a crash', () => {
  const headerLengths = fc.option(fc.oneof(fc.nat(60).map(String), fc.string()))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), headerLengths, (body, headerLength) => {
      expect(() => decodeAnswer(body, headerLength)).toThrow("Cannot read the server's answer")
    }),
    { seed: SEED },
  )
})

test('a request asks for a binary answer', () => {
  const { headerBytes, body } = encodeRequest([
    { name: 'x', datatype: 'INT32', shape: [1, 2], bytes: encodeValues('INT32', [1, 258]) },
  ])
  expect(JSON.parse(Buffer.from(body.subarray(0, headerBytes)).toString())).toEqual({
    inputs: [{ name: 'x', shape: [1, 2], datatype: 'INT32', parameters: { binary_data_size: 8 } }],
    parameters: { binary_data_output: true },
  })
  expect([...body.subarray(headerBytes)]).toEqual([1, 0, 0, 0, 2, 1, 0, 0])
})

test('a JSON answer is read too, with the numbers that JSON does not have', () => {
  const body = Buffer.from(
    '{"model_version":"7","outputs":[{"name":"a","datatype":"FP32","shape":[3],"data":[NaN,-Infinity,1]},' +
      '{"name":"b","datatype":"INT64","shape":[1,1],"data":[[9007199254740993]]}]}',
  )
  const { version, outputs } = decodeAnswer(body, null)
  expect(version).toBe('7')
  expect(outputs.map(({ datatype, bytes }) => Array.from(decodeValues(datatype, bytes)))).toEqual([
    [Number.NaN, Number.NEGATIVE_INFINITY, 1],
    [9_007_199_254_740_993n],
  ])
})

test('binary and JSON outputs may stand in one answer', () => {
  const answer = joinAnswer(
    {
      outputs: [
        { name: 'a', datatype: 'UINT8', shape: [2], parameters: { binary_data_size: 2 } },
        { name: 'b', datatype: 'UINT8', shape: [1], data: [3] },
        { name: 'c', datatype: 'UINT8', shape: [1], parameters: { binary_data_size: 1 } },
      ],
    },
    Uint8Array.of(1, 2, 4),
  )
  expect(decodeAnswer(...answer).outputs.map(({ bytes }) => [...bytes])).toEqual([[1, 2], [3], [4]])
})

describe('an answer is refused', () => {
  const output = { name: 'a', datatype: 'UINT8', shape: [2], parameters: { binary_data_size: 2 } }
  const blob = Uint8Array.of(1, 2)

  const answers: [string, Uint8Array, string | null, string][] = [
    ['with a header length past its end', Buffer.from('{}'), '3', 'is "3", the body has 2 bytes'],
    ['with a header length that is no number', Buffer.from('{}'), 'x', 'is "x", the body has 2 bytes'],
    ['without outputs', asJson({}), null, 'outputs'],
    ['with a datatype nobody knows', asJson({ outputs: [{ ...output, datatype: 'FP7' }] }), null, 'datatype'],
    ['with a negative side', asJson({ outputs: [{ ...output, shape: [-1] }] }), null, 'shape'],
    [
      'with an output without values',
      asJson({ outputs: [{ ...output, parameters: {} }] }),
      null,
      'neither data nor',
    ],
    [
      'with too few values',
      asJson({ outputs: [{ ...output, parameters: {}, data: [1] }] }),
      null,
      'has 1 bytes',
    ],
    [
      'with a value out of range',
      asJson({ outputs: [{ ...output, parameters: {}, data: [1, 256] }] }),
      null,
      '256',
    ],
    [
      'a byte short',
      ...joinAnswer({ outputs: [output] }, blob.subarray(1)),
      '"a" is UINT8 [2] and has 1 bytes',
    ],
    ['a byte long', ...joinAnswer({ outputs: [output] }, blob, blob.subarray(1)), '1 bytes are left'],
  ]
  test.each(answers)('%s', (_name, body, headerLength, reason) => {
    expect(() => decodeAnswer(body, headerLength)).toThrow(reason)
  })
})
