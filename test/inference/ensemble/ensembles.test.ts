import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Ensembles } from '../../../src/inference/ensemble/ensembles.ts'
import type { EnsemblePlan } from '../../../src/inference/ensemble/fit.ts'
import type { EnsembleStep } from '../../../src/inference/ensemble/plan.ts'
import { Lanes } from '../../../src/inference/lanes.ts'
import { EdgeError } from '../../../src/kit/errors.ts'
import { setLogLevel } from '../../../src/kit/log.ts'
import type { Signature, TensorSpec } from '../../../src/runtime/backend.ts'
import { step } from '../../kit/ensembles.ts'
import { FakeClock } from '../../kit/fake-clock.ts'
import { FakeBackend, FakeSession, lanePlan, scheduling, spec, tensor } from '../../kit/fake-session.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

/** A model of one input and one output. */
function signature(input: TensorSpec, output: TensorSpec): Signature {
  return { inputs: [input], outputs: [output], unsupportedOutputs: [] }
}

/** Its sleep does not end. */
class SleepingClock extends FakeClock {
  override sleep(): Promise<void> {
    return new Promise(() => undefined)
  }
}

const BYTES = signature(spec('i', 'UINT8', [-1]), spec('o', 'UINT8', [-1]))

function stage() {
  const backend = new FakeBackend()
  const clock = new SleepingClock()
  const lanes = new Lanes({ backend, clock, runsMax: 4 })
  const ensembles = new Ensembles({ lanes, clock })
  const load = async (id: string, of: Signature = BYTES, batchSizeMax = 0) => {
    const [model = '', version = ''] = id.split('/')
    const session = new FakeSession(of)
    backend.sessions.set(id, session)
    const plan = lanePlan(model, version)
    await lanes.load({ ...plan, scheduling: scheduling({ batchSizeMax, isDynamic: batchSizeMax > 0 }) })
    return session
  }
  const join = (model: string, steps: readonly EnsembleStep[], of: Partial<EnsemblePlan> = {}) =>
    ensembles.load({ model, version: '1', batchSizeMax: 0, steps, inputs: [], outputs: [], ...of })
  const state = (model: string, version = '1') => lanes.status(model, version)
  const infer = async (model: string, value: number) => {
    const inputs = [tensor('in', 'UINT8', [1], [value])]
    const result = await lanes.find(model, undefined).infer({ inputs, outputs: undefined, signal: undefined })
    const bytes = result.outputs.map((output) => [output.name, ...output.bytes])
    result.release()
    return bytes
  }
  return { backend, lanes, ensembles, load, join, state, infer }
}

const CHAIN = [step('a', { i: 'in' }, { o: 'middle' }), step('b', { i: 'middle' }, { o: 'out' })]
const READY = { state: 'READY', reason: '' }
const lost = (reason: string) => ({ state: 'UNAVAILABLE', reason: expect.stringContaining(reason) as string })

describe('an ensemble', () => {
  test('is ready when the last of its models is, whatever the order, and answers through them', async () => {
    const { load, join, state, infer, lanes } = stage()
    expect(await join('whole', CHAIN)).toMatchObject(
      lost(`step 1 ("a"): Request for unknown model: 'a' is not found`),
    )
    const b = await load('b/1')
    expect(state('whole')).toMatchObject(lost('step 1 ("a")'))
    const a = await load('a/1')
    expect(state('whole')).toMatchObject(READY)
    expect(await infer('whole', 7)).toEqual([['out', 7]])
    expect([a.released, b.released]).toEqual([1, 1])
    expect(lanes.find('whole', '1').session.signature).toEqual({
      inputs: [spec('in', 'UINT8', [-1])],
      outputs: [spec('out', 'UINT8', [-1])],
      unsupportedOutputs: [],
    })
    expect(lanes.find('whole', undefined).platform).toBe('ensemble')
  })

  test('is unavailable with the reason while one is gone, and ready again afterwards', async () => {
    const { load, join, state, lanes } = stage()
    await load('a/1')
    await load('b/1')
    expect(await join('whole', CHAIN)).toMatchObject(READY)
    const unloading = lanes.unload('b', '1')
    expect(lanes.isReady('whole', undefined)).toBe(false)
    expect(state('whole')).toMatchObject(lost('step 2 ("b"): Cannot infer with "b/1": it is UNLOADING'))
    await unloading
    expect(state('whole')).toMatchObject(lost('it is UNAVAILABLE: unloaded'))
    await load('b/1')
    expect(state('whole')).toMatchObject(READY)
  })

  test('counts as a lane of its own, and its models count what they do for it', async () => {
    const { load, join, infer, lanes } = stage()
    await load('a/1')
    await load('b/1')
    await join('whole', CHAIN)
    for (let time = 0; time < 3; time += 1) await infer('whole', time)
    const counts = ['whole', 'a', 'b'].map((model) => lanes.find(model, '1').statistics)
    expect(counts.map(({ success, inferences }) => [success.count, inferences])).toEqual([
      [3, 3],
      [3, 3],
      [3, 3],
    ])
  })

  test('asks only the steps that a request needs', async () => {
    const { load, join, lanes } = stage()
    const [a, b, c] = [await load('a/1'), await load('b/1'), await load('c/1')]
    await join('whole', [...CHAIN, step('c', { i: 'middle' }, { o: 'other' })])
    const inputs = [tensor('in', 'UINT8', [1], [1])]
    const request = { inputs, outputs: ['other'], signal: undefined }
    ;(await lanes.find('whole', undefined).infer(request)).release()
    expect([a, b, c].map(({ runs }) => runs.length)).toEqual([1, 0, 1])
  })

  test('within another follows what is deepest', async () => {
    const { load, join, state, infer, lanes } = stage()
    await join('outer', [step('whole', { in: 'in' }, { out: 'x' }), step('a', { i: 'x' }, { o: 'y' })])
    await join('whole', CHAIN)
    await load('a/1')
    expect(state('outer')).toMatchObject(lost('step 1 ("whole")'))
    await load('b/1')
    expect([state('whole'), state('outer')]).toMatchObject([READY, READY])
    expect(await infer('outer', 9)).toEqual([['y', 9]])
    await lanes.unload('b', '1')
    expect([state('whole').state, state('outer').state]).toEqual(['UNAVAILABLE', 'UNAVAILABLE'])
  })

  test('that is unloaded stays so, also when it was waiting, whatever comes of its models', async () => {
    const { load, join, state, ensembles } = stage()
    await join('waiting', CHAIN)
    await ensembles.unload('waiting', '1')
    await load('a/1')
    await load('b/1')
    await join('whole', CHAIN)
    await ensembles.unload('whole', '1')
    await load('a/1')
    expect([state('waiting'), state('whole')]).toMatchObject([lost('unloaded'), lost('unloaded')])
  })

  test('gives its place to a model of its name, and takes one over', async () => {
    const { load, join, state, lanes } = stage()
    await load('a/1')
    await load('b/1')
    const plain = await load('whole/1')
    await join('whole', CHAIN)
    expect([lanes.find('whole', '1').platform, plain.closed]).toEqual(['ensemble', 1])
    await load('whole/1')
    await load('b/1')
    expect([lanes.find('whole', '1').platform, state('whole').state]).toEqual(['onnxruntime_onnx', 'READY'])
  })
})

describe('while versions change', () => {
  test('a request keeps to the versions that it began with, and the next one takes the new', async () => {
    const { load, join, infer } = stage()
    const [a, oldB] = [await load('a/1'), await load('b/1')]
    await join('whole', CHAIN)
    a.isHeld = true
    const pending = infer('whole', 3)
    let newB: FakeSession | undefined
    const loading = load('b/1').then((session) => (newB = session))
    await Bun.sleep(0)
    expect(oldB.closed).toBe(0)
    a.isHeld = false
    expect(await infer('whole', 4)).toEqual([['out', 4]])
    a.finish()
    expect(await pending).toEqual([['out', 3]])
    await loading
    expect([oldB.runs.length, newB?.runs.length, oldB.closed]).toEqual([1, 1, 1])
  })

  test('one that is unloaded answers the requests that are inside', async () => {
    const { load, join, infer, lanes } = stage()
    const [a, b] = [await load('a/1'), await load('b/1')]
    await join('whole', CHAIN)
    a.isHeld = true
    const pending = infer('whole', 3)
    const unloading = Promise.all([lanes.unload('b', '1'), lanes.unload('a', '1')])
    await Bun.sleep(0)
    a.finish()
    expect(await pending).toEqual([['out', 3]])
    await unloading
    expect([a.closed, b.closed]).toEqual([1, 1])
  })

  test('new settings that do not fit leave the old ones serving, and the index says so', async () => {
    const { load, join, state, infer } = stage()
    await load('a/1')
    await load('b/1')
    await join('whole', CHAIN)
    expect(await join('whole', [step('nobody', { i: 'in' }, { o: 'out' })])).toMatchObject({
      state: 'READY',
      reason: expect.stringContaining(
        'serving what was loaded before, Cannot serve "whole/1": step 1 ("nobody")',
      ),
    })
    expect(await infer('whole', 1)).toEqual([['out', 1]])
    expect(await join('whole', CHAIN)).toMatchObject(READY)
    expect(state('whole')).toMatchObject(READY)
  })

  test('a model that does not fit any more is the reason, and one that changes the shapes changes the ensemble', async () => {
    const { load, join, state, lanes } = stage()
    await load('a/1')
    await load('b/1')
    await join('whole', CHAIN)
    await load('b/1', signature(spec('i', 'FP32', [-1]), spec('o', 'UINT8', [-1])))
    expect(state('whole')).toMatchObject(
      lost(
        'tensor "middle" is UINT8 [-1] as output "o" of step 1 ("a"), FP32 [-1] as input "i" of step 2 ("b")',
      ),
    )
    await load('b/1', signature(spec('i', 'UINT8', [-1]), spec('o', 'INT64', [2])))
    expect(state('whole')).toMatchObject(READY)
    expect(lanes.find('whole', undefined).session.signature.outputs).toEqual([spec('out', 'INT64', [2])])
  })
})

describe('what does not fit is the reason, by step and name', () => {
  const input = (name: string, datatype: string, dims: number[], optional = false) => ({
    name,
    datatype,
    dims,
    optional,
  })

  test.each<[what: string, steps: EnsembleStep[], of: Partial<EnsemblePlan>, problem: string]>([
    [
      'an input that the model does not have',
      [step('a', { i: 'in', j: 'in' }, { o: 'out' })],
      {},
      'step 1 ("a"): the model has no input "j", it has "i"',
    ],
    [
      'an output that the model does not have',
      [step('a', { i: 'in' }, { p: 'out' })],
      {},
      'step 1 ("a"): the model has no output "p", it has "o"',
    ],
    [
      'an input that is missing',
      [step('a', {}, { o: 'out' })],
      {},
      'step 1 ("a"): the model needs input "i", no tensor is given to it',
    ],
    [
      'a version that is not there',
      [step('a', { i: 'in' }, { o: 'out' }, '7')],
      {},
      `step 1 ("a"): Request for unknown model: 'a' version 7 is not found, there is 1`,
    ],
    [
      'a declared input of another datatype',
      CHAIN,
      { inputs: [input('in', 'FP32', [-1])] },
      'tensor "in" is FP32 [-1] as input "in" of the ensemble, UINT8 [-1] as input "i" of step 1 ("a")',
    ],
    [
      'a declared output of another shape',
      CHAIN,
      { outputs: [input('out', 'UINT8', [-1, 4])] },
      'tensor "out" is UINT8 [-1] as output "o" of step 2 ("b"), UINT8 [-1,4] as output "out" of the ensemble',
    ],
    [
      'a declared input that may be left out where it is needed',
      CHAIN,
      { inputs: [input('in', 'UINT8', [-1], true)] },
      'input "in" of the ensemble is optional, but it is needed as input "i" of step 1 ("a")',
    ],
    [
      'a declared datatype that is none',
      CHAIN,
      { inputs: [input('in', 'FLOAT', [-1])] },
      '"FLOAT" of tensor "in" is no datatype',
    ],
    [
      'a batch that is too large for a model',
      [step('batched', { i: 'in' }, { o: 'out' })],
      { batchSizeMax: 5 },
      'step 1 ("batched"): the ensemble allows batches of 5, the model at most 4',
    ],
    [
      'a batch for a model of one size',
      [step('fixed', { i: 'in' }, { o: 'out' })],
      { batchSizeMax: 4 },
      'tensor "in" is UINT8 [-1,3] as input "in" of the ensemble, UINT8 [2,3] as input "i" of step 1 ("fixed")',
    ],
  ])('%s', async (_, steps, of, problem) => {
    const { load, join } = stage()
    await load('a/1')
    await load('b/1')
    const rows = signature(spec('i', 'UINT8', [-1, 3]), spec('o', 'UINT8', [-1, 3]))
    await load('batched/1', rows, 4)
    await load('fixed/1', signature(spec('i', 'UINT8', [2, 3]), spec('o', 'UINT8', [2, 3])))
    expect(await join('whole', steps, of)).toMatchObject(lost(problem))
  })

  test('what fits: a batch within the model, optional for optional, open dimensions for fixed ones', async () => {
    const { load, join, lanes } = stage()
    const rows = signature(spec('i', 'UINT8', [-1, 3]), spec('o', 'UINT8', [-1, 3]))
    await load('batched/1', rows, 4)
    const steps = [step('batched', { i: 'in' }, { o: 'out' })]
    expect(await join('whole', steps, { batchSizeMax: 4 })).toMatchObject(READY)
    expect(lanes.find('whole', undefined).batchSizeMax).toBe(4)
    const declared = { inputs: [input('in', 'UINT8', [-1])], outputs: [input('out', 'UINT8', [3])] }
    expect(await join('open', steps, { batchSizeMax: 2, ...declared })).toMatchObject(READY)
    await load('easy/1', {
      ...BYTES,
      inputs: [...BYTES.inputs, { ...spec('more', 'UINT8', [-1]), isOptional: true }],
    })
    const easy = [step('easy', { i: 'in', more: 'more' }, { o: 'out' })]
    expect(await join('easy-whole', easy)).toMatchObject(READY)
    const [, more] = lanes.find('easy-whole', undefined).session.signature.inputs
    expect(more).toMatchObject({ name: 'more', isOptional: true })
  })
})

describe('ensembles in each other', () => {
  const around = (model: string) => [step(model, { in: 'in' }, { out: 'out' })]

  test('in a circle: the one that would close it is refused with the way round', async () => {
    const { join, state } = stage()
    await join('x', around('y'))
    await join('y', around('z'))
    expect(await join('z', around('x'))).toMatchObject(
      lost('Cannot serve "z/1": ensembles go round in a circle: "z" → "x" → "y" → "z"'),
    )
    expect(await join('self', around('self'))).toMatchObject(lost('circle: "self" → "self"'))
    expect([state('x').state, state('y').state]).toEqual(['UNAVAILABLE', 'UNAVAILABLE'])
  })

  test('eight deep is served, nine is not', async () => {
    const { load, join } = stage()
    await load('e0/1', signature(spec('in', 'UINT8', [-1]), spec('out', 'UINT8', [-1])))
    for (let depth = 1; depth <= 8; depth += 1) {
      expect(await join(`e${depth}`, around(`e${depth - 1}`))).toMatchObject(READY)
    }
    expect(await join('e9', around('e8'))).toMatchObject(
      lost('ensembles are 9 deep in each other, at most 8'),
    )
  })

  test('know which models only they are made of', async () => {
    const { join, ensembles } = stage()
    await join('x', [step('a', { i: 'in' }, { o: 'm' }), step('b', { i: 'm' }, { o: 'out' })])
    await join('y', [step('b', { i: 'in' }, { o: 'out' })])
    expect([ensembles.members('x'), ensembles.ownMembers('x'), ensembles.ownMembers('y')]).toEqual([
      ['a', 'b'],
      ['a'],
      [],
    ])
    await ensembles.unload('y', '1')
    expect([ensembles.ownMembers('x'), ensembles.members('a')]).toEqual([['a', 'b'], []])
  })
})

test('a step whose model went away under way answers that the ensemble cannot answer now', async () => {
  const { load, join, lanes } = stage()
  await load('a/1')
  await load('b/1')
  await join('whole', CHAIN)
  const lane = lanes.find('whole', undefined)
  void lanes.unload('b', '1')
  const inputs = [tensor('in', 'UINT8', [1], [1])]
  const asked = lane.session.run({ inputs, outputs: ['out'] })
  await expect(asked).rejects.toBeInstanceOf(EdgeError)
  await expect(asked).rejects.toMatchObject({
    code: 'model_unavailable',
    message: expect.stringContaining(
      'Cannot infer with "whole/1": step 2 ("b"): Cannot infer with "b/1": it is UN',
    ),
  })
})

describe('models that come on demand, or are away for a moment', () => {
  test('leave an ensemble ready, and its requests wait for them', async () => {
    const { backend, lanes, load, join, state, infer } = stage()
    await load('a/1')
    await load('b/1')
    await join('whole', CHAIN)
    await lanes.unload('b', '1')
    expect(state('whole').state).toBe('UNAVAILABLE')
    await Bun.sleep(0)
    const { life, ...plan } = lanePlan('b', '1')
    lanes.know({ ...plan, life: { ...life, isOnDemand: true } })
    expect(state('whole')).toMatchObject(READY)
    let arrive: (session: FakeSession) => void = () => undefined
    backend.sessions.set('b/1', new Promise<FakeSession>((resolve) => (arrive = resolve)))
    const answer = infer('whole', 6)
    await Bun.sleep(0)
    expect([state('b').state, state('whole').state]).toEqual(['LOADING', 'READY'])
    arrive(new FakeSession(BYTES))
    expect(await answer).toEqual([['out', 6]])
  })

  test('that have never been there are waited for: what they are like is not known', async () => {
    const { lanes, load, join } = stage()
    await load('a/1')
    const { life, ...plan } = lanePlan('b', '1')
    lanes.know({ ...plan, life: { ...life, isOnDemand: true } })
    expect(await join('whole', CHAIN)).toMatchObject(
      lost('step 2 ("b"): Cannot infer with "b/1": it is UNAVAILABLE'),
    )
  })
})
