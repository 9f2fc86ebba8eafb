import { describe, expect, test } from 'bun:test'
import { checkSettings, type ExpectedTensor } from '../../src/inference/check-settings.ts'
import type { Signature } from '../../src/runtime/backend.ts'
import { spec } from '../kit/fake-session.ts'

const SIGNATURE: Signature = {
  inputs: [
    { ...spec('image', 'FP32', [-1, 3, -1]), symbols: ['batch', '', ''] },
    { ...spec('bias', 'FP32', [1]), isOptional: true },
    spec('any', 'INT64', undefined),
  ],
  outputs: [spec('scores', 'FP32', [-1, 10])],
  unsupportedOutputs: [{ name: 'classes', kind: 'sequence' }],
}

const tensor = (
  name: string,
  datatype: string,
  dims: readonly number[],
  optional = false,
): ExpectedTensor => ({
  name,
  datatype,
  dims,
  optional,
})

function check(max_batch_size: number, inputs: ExpectedTensor[], outputs: ExpectedTensor[] = []): string[] {
  return checkSettings({ max_batch_size, inputs, outputs }, SIGNATURE)
}

describe('agrees', () => {
  test.each([
    ['nothing said', 0, [], []],
    ['as the model', 0, [tensor('image', 'FP32', [-1, 3, -1])], [tensor('scores', 'FP32', [-1, 10])]],
    ['fixing what is open', 0, [tensor('image', 'FP32', [8, 3, 224])], []],
    ['without the batch', 4, [tensor('image', 'FP32', [3, 224])], [tensor('scores', 'FP32', [10])]],
    ['any rank', 0, [tensor('any', 'INT64', [1, 2, 3])], []],
    ['optional', 0, [tensor('bias', 'FP32', [1], true)], []],
  ])('%s', (_, size, inputs, outputs) => {
    expect(check(size, inputs, outputs)).toEqual([])
  })
})

describe('contradicts', () => {
  test.each([
    [
      [tensor('pixels', 'FP32', [1])],
      [],
      'input "pixels" is in the config, the model has "image", "bias", "any"',
    ],
    [
      [tensor('image', 'INT8', [-1, 3, -1])],
      [],
      'input "image" is INT8 [-1,3,-1] in the config, FP32 [batch,3,-1] in the model',
    ],
    [
      [tensor('image', 'FP32', [-1, -1, -1])],
      [],
      'input "image" is FP32 [-1,-1,-1] in the config, FP32 [batch,3,-1] in the model',
    ],
    [
      [tensor('image', 'FP32', [3, -1])],
      [],
      'input "image" is FP32 [3,-1] in the config, FP32 [batch,3,-1] in the model',
    ],
    [[tensor('any', 'INT64', [1], true)], [], 'input "any" is optional in the config, the model needs it'],
    [[], [tensor('label', 'FP32', [])], 'output "label" is in the config, the model has "scores"'],
    [[], [tensor('classes', 'FP32', [])], 'output "classes" is a sequence, only tensors can be answered'],
  ])('%j %j', (inputs, outputs, problem) => {
    expect(check(0, inputs, outputs)).toEqual([problem])
  })

  test('with batches the first dimension is the batch', () => {
    expect(check(8, [tensor('image', 'FP32', [-1, 3, -1])])).toEqual([
      'input "image" is FP32 [-1,-1,3,-1] in the config, FP32 [batch,3,-1] in the model, the batch being the first dimension',
    ])
  })

  test('all of it is named', () => {
    expect(
      check(0, [tensor('a', 'FP32', []), tensor('b', 'FP32', [])], [tensor('c', 'FP32', [])]).length,
    ).toBe(3)
  })
})
