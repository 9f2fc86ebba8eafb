/** A session as its clients see it: what a config fixes, and shapes that are others in the model. */
import { describe, expect, test } from 'bun:test'
import type { Expectation } from '../../src/inference/check-settings.ts'
import { presentSession } from '../../src/inference/served-session.ts'
import type { Signature } from '../../src/runtime/backend.ts'
import { FakeSession, spec, tensor } from '../kit/fake-session.ts'

const said = (dims: readonly number[], reshape?: readonly number[]) => ({
  name: 'INPUT0',
  datatype: 'UINT8',
  dims,
  reshape,
})

function stage(shape: readonly number[] | undefined, expected: Partial<Expectation>) {
  const symbols = shape?.map((_, axis) => `d${axis}`) ?? []
  const signature: Signature = {
    inputs: [{ ...spec('INPUT0', 'UINT8', shape), symbols }],
    outputs: [spec('OUTPUT0', 'UINT8', shape)],
    unsupportedOutputs: [],
  }
  const inner = new FakeSession(signature)
  const served = presentSession(inner, { max_batch_size: 0, inputs: [], outputs: [], ...expected })
  return { inner, served }
}

test('a config that names no tensor leaves the session as it is', () => {
  const { inner, served } = stage([-1, 2], {})
  expect(served).toBe(inner)
})

describe('what clients see', () => {
  test.each([
    ['what the config fixes', [-1, -1], { inputs: [said([4, -1])] }, [4, -1], ['', 'd1']],
    ['behind the batch', [-1, -1], { max_batch_size: 8, inputs: [said([4])] }, [-1, 4], ['d0', '']],
    ['the batch that the model fixes', [2, -1], { max_batch_size: 8, inputs: [said([4])] }, [2, 4], ['', '']],
    ['the rank that the model leaves open', undefined, { inputs: [said([4, -1])] }, [4, -1], ['', '']],
    ['dims where the model has another shape', [1, 4], { inputs: [said([4], [1, 4])] }, [4], ['']],
  ])('%s', (_, shape, expected, wanted, symbols) => {
    const { served } = stage(shape, expected)
    expect(served.signature.inputs[0]).toMatchObject({ shape: wanted, symbols })
  })
})

describe('a run', () => {
  const bytes = Array.from({ length: 12 }, (_, index) => index)

  test.each(['run', 'runInline'] as const)(
    '%s: the model has its shape, the client the dims',
    async (way) => {
      const output = { ...said([3, -1], [1, 3, -1]), name: 'OUTPUT0' }
      const { inner, served } = stage([-1, 1, 3, -1], {
        max_batch_size: 8,
        inputs: [said([3, -1], [1, 3, -1])],
        outputs: [output],
      })
      const request = { inputs: [tensor('INPUT0', 'UINT8', [2, 3, 2], bytes)], outputs: ['OUTPUT0'] }
      const result = await served[way](request)
      expect(inner.runs.map((run) => run.request.inputs[0]?.shape)).toEqual([[2, 1, 3, 2]])
      expect(result.outputs).toEqual([tensor('OUTPUT0', 'UINT8', [2, 3, 2], bytes)])
      result.release()
      expect(inner.released).toBe(1)
    },
  )

  test('an answer of another rank than the config has stays as it is', async () => {
    const { served } = stage([-1, 2], { outputs: [{ ...said([2], [1, 1, 2]), name: 'OUTPUT0' }] })
    const { outputs } = await served.run({
      inputs: [tensor('INPUT0', 'UINT8', [6, 2], bytes)],
      outputs: ['OUTPUT0'],
    })
    expect(outputs[0]?.shape).toEqual([6, 2])
  })

  test('closing closes the model', async () => {
    const { inner, served } = stage([-1], { inputs: [said([4])] })
    await served.close()
    expect(inner.closed).toBe(1)
  })
})
