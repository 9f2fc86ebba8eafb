import { describe, expect, test } from 'bun:test'
import { checkInputs, chooseOutputs, describeSpec } from '../../src/inference/check.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import type { Signature, Tensor } from '../../src/runtime/backend.ts'
import { spec, tensor } from '../kit/fake-session.ts'

const signature: Signature = {
  inputs: [
    { ...spec('image', 'FP32', [-1, 3, -1]), symbols: ['batch', '', ''] },
    spec('any', 'UINT8', undefined),
    { ...spec('scale', 'FP64', []), isOptional: true },
  ],
  outputs: [spec('boxes', 'FP32', [-1]), spec('scores', 'FP32', [-1])],
  unsupportedOutputs: [{ name: 'labels', kind: 'sequence' }],
}
const claim = { lane: 'detector/1', signature }

const image = tensor('image', 'FP32', [1, 3, 0], [])
const any = tensor('any', 'UINT8', [2, 1], [1, 2])
const scale = tensor('scale', 'FP64', [], [0, 0, 0, 0, 0, 0, 0, 0])

function messageOf(refused: () => unknown, code = 'input_invalid'): string {
  try {
    refused()
  } catch (error) {
    expect(error).toBeInstanceOf(EdgeError)
    expect(error).toMatchObject({ code })
    return (error as Error).message
  }
  throw new Error('Nothing was refused')
}

const EXPECTED = 'expected "image" FP32 [batch,3,-1], "any" UINT8 of any shape, "scale" FP64 [] (optional)'

describe('inputs', () => {
  test.each<[string, Tensor[]]>([
    ['all', [image, any, scale]],
    ['without the optional one', [image, any]],
    ['in another order', [scale, any, image]],
  ])('%s are taken', (_, inputs) => {
    expect(() => checkInputs(claim, inputs)).not.toThrow()
  })

  test.each<[string, Tensor[], string]>([
    ['none', [], `inputs are wrong: missing "image", "any", ${EXPECTED}`],
    ['one missing', [any], `inputs are wrong: missing "image", ${EXPECTED}`],
    ['one unknown', [image, any, { ...any, name: 'x' }], `inputs are wrong: unknown "x", ${EXPECTED}`],
    [
      'a name mistyped',
      [{ ...image, name: 'Image' }, any],
      `inputs are wrong: missing "image", unknown "Image", ${EXPECTED}`,
    ],
    ['one twice', [image, any, any], 'input "any" is there twice, expected once'],
    [
      'another datatype',
      [{ ...image, datatype: 'FP64' }, any],
      'input "image" is FP64 [1,3,0], expected FP32 [batch,3,-1]',
    ],
    [
      'another dimension',
      [{ ...image, shape: [1, 4, 0] }, any],
      'input "image" is FP32 [1,4,0], expected FP32 [batch,3,-1]',
    ],
    [
      'a dimension too few',
      [{ ...image, shape: [1, 3] }, any],
      'input "image" is FP32 [1,3], expected FP32 [batch,3,-1]',
    ],
    [
      'a dimension too many',
      [image, any, { ...scale, shape: [1] }],
      'input "scale" is FP64 [1], expected FP64 []',
    ],
    [
      'another datatype where any shape will do',
      [image, { ...any, datatype: 'INT8' }],
      'input "any" is INT8 [2,1], expected UINT8 of any shape',
    ],
  ])('%s: refused with what came and what is expected', (_, inputs, message) => {
    expect(messageOf(() => checkInputs(claim, inputs))).toBe(`Cannot infer with "detector/1": ${message}`)
  })
})

describe('strings that are to share a run', () => {
  const texts: Signature = {
    inputs: [spec('text', 'BYTES', [-1, 1])],
    outputs: [],
    unsupportedOutputs: [],
  }
  const check = (batchSizeMax: number, bytes: readonly number[], shape = [1, 1]) =>
    checkInputs({ lane: 'm/1', signature: texts, batchSizeMax }, [tensor('text', 'BYTES', shape, bytes)])

  test.each<[readonly number[], number[]]>([
    [
      [0, 0, 0, 0],
      [1, 1],
    ],
    [
      [1, 0, 0, 0, 65, 0, 0, 0, 0],
      [2, 1],
    ],
  ])('%p is taken', (bytes, shape) => {
    expect(() => check(4, bytes, shape)).not.toThrow()
  })

  test.each<[readonly number[], string]>([
    [[5, 0, 0, 0], 'string 0 of 1 ends beyond the 4 bytes'],
    [[0, 0, 0], 'string 0 of 1 ends beyond the 3 bytes'],
    [[255, 255, 255, 255, 65], 'string 0 of 1 ends beyond the 5 bytes'],
    [[1, 0, 0, 0, 65, 5, 0, 0, 0], '4 bytes are left over after 1 strings'],
  ])('%p would reach into those of others: refused', (bytes, message) => {
    expect(messageOf(() => check(4, bytes))).toBe(`Cannot infer with "m/1": input "text": ${message}`)
    // By itself it can harm nobody, and the runtime refuses it.
    expect(() => check(0, bytes)).not.toThrow()
  })
})

describe('outputs', () => {
  test('all that can be answered unless some are named, those in their order', () => {
    expect(chooseOutputs(claim, undefined)).toEqual(['boxes', 'scores'])
    expect(chooseOutputs(claim, ['scores', 'boxes'])).toEqual(['scores', 'boxes'])
    expect(chooseOutputs(claim, [])).toEqual([])
  })

  test('one that is not there is refused with those that are', () => {
    expect(messageOf(() => chooseOutputs(claim, ['boxes', 'box']))).toBe(
      'Cannot infer with "detector/1": unknown output "box", expected "boxes", "scores"',
    )
  })

  test('one that is no tensor is refused with what it is', () => {
    expect(messageOf(() => chooseOutputs(claim, ['labels']), 'output_unsupported')).toBe(
      'Cannot infer with "detector/1": output "labels" is a sequence, only tensors can be answered: "boxes", "scores"',
    )
  })
})

test('a scalar, a dimension with a name and one without are told apart', () => {
  expect(signature.inputs.map(describeSpec)).toEqual(['FP32 [batch,3,-1]', 'UINT8 of any shape', 'FP64 []'])
})
