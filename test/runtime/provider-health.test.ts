import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  blame,
  FAILURES_MAX,
  judgeRun,
  letStay,
  outcomeOf,
  type ProviderHealth,
  type RunOutcome,
  UNTRIED,
  type Verdict,
} from '../../src/runtime/provider-health.ts'
import { SEED } from '../kit/seed.ts'

const judgeAll = (outcomes: readonly RunOutcome[], nowMs = 0): Verdict[] => {
  let health: ProviderHealth = UNTRIED
  return outcomes.map((outcome) => {
    const judged = judgeRun(health, outcome, nowMs)
    health = judged.health
    return judged.verdict
  })
}

describe('a provider', () => {
  test.each([
    [
      'that has answered may fail now and then',
      ['ok', 'failed', 'failed', 'ok', 'failed', 'failed'],
      'go_on',
    ],
    ['that fails three times in a row has to prove itself', ['ok', 'failed', 'failed', 'failed'], 'prove'],
    ['that has never answered has to prove itself at once', ['failed'], 'prove'],
    ['that ONNX Runtime blames has to prove itself at once', ['ok', 'blamed'], 'prove'],
    ['that has lost its device goes', ['ok', 'lost'], 'replace'],
  ] as const)('%s', (_, outcomes, verdict) => {
    expect(judgeAll(outcomes).at(-1)).toBe(verdict)
  })

  test('that stays is not judged again for a while, which grows to an hour', () => {
    let health: ProviderHealth = UNTRIED
    const waits: number[] = []
    let nowMs = 1000
    for (let times = 0; times < 12; times += 1) {
      health = letStay(health, nowMs)
      waits.push((health.notBeforeMs - nowMs) / 1000)
      expect(judgeRun(health, 'lost', health.notBeforeMs - 1).verdict).toBe('go_on')
      nowMs = health.notBeforeMs
      expect(judgeRun(health, 'lost', nowMs).verdict).toBe('replace')
    }
    expect(waits).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600])
  })

  test(`is judged only by what it has done since its last answer (seed ${SEED})`, () => {
    const outcome = fc.constantFrom<RunOutcome>('ok', 'failed')
    fc.assert(
      fc.property(fc.array(outcome, { maxLength: 40 }), (outcomes) => {
        const verdicts = judgeAll(['ok', ...outcomes]).slice(1)
        let inRow = 0
        for (const [index, each] of outcomes.entries()) {
          inRow = each === 'ok' ? 0 : inRow + 1
          expect(verdicts[index]).toBe(inRow >= FAILURES_MAX ? 'prove' : 'go_on')
        }
      }),
      { seed: SEED },
    )
  })
})

test.each([
  ['CUDA error cudaErrorIllegalAddress: an illegal memory access was encountered', 'FAIL', 'lost'],
  ['CUDA failure 719: unspecified launch failure', 'RUNTIME_EXCEPTION', 'lost'],
  ['CUDA error 100: no CUDA-capable device is detected', 'FAIL', 'lost'],
  ['vkQueueSubmit failed: VK_ERROR_DEVICE_LOST', 'FAIL', 'lost'],
  ['WebGPU device lost (1): the device was destroyed', 'FAIL', 'lost'],
  ['TensorRT EP execution context enqueue failed.', 'EP_FAIL', 'blamed'],
  ['CUDA error cudaErrorMemoryAllocation: out of memory', 'FAIL', 'failed'],
  ['Non-zero status code returned while running Add node', 'RUNTIME_EXCEPTION', 'failed'],
  ['indices element out of data bounds', 'INVALID_ARGUMENT', undefined],
] as const)('%s (%s) is %s', (message, code, outcome) => {
  expect(outcomeOf({ code, message })).toBe(outcome)
})

test.each([
  ['CUDA error 700', 'cuda'],
  ['TensorRT EP failed to enqueue', 'tensorrt'],
  ['a kernel failed', 'tensorrt'],
] as const)('"%s" is the fault of %s', (message, name) => {
  const providers = [
    { name: 'tensorrt', shown: 'TensorrtExecutionProvider' },
    { name: 'cuda', shown: 'CUDAExecutionProvider' },
  ]
  expect(blame(message, providers)).toBe(name)
})
