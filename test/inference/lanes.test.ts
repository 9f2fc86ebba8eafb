import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Lanes } from '../../src/inference/lanes.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { FakeBackend, FakeSession, lanePlan, tensor } from '../kit/fake-session.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

function stage(sessions: Readonly<Record<string, FakeSession | Error | Promise<FakeSession>>>) {
  const backend = new FakeBackend()
  for (const [id, session] of Object.entries(sessions)) backend.sessions.set(id, session)
  const lanes = new Lanes({ backend, clock: new FakeClock(), runsMax: 1 })
  const load = async (...ids: string[]) => {
    for (const id of ids) await lanes.load(lanePlan(...(id.split('/') as [string, string])))
  }
  return { lanes, load, backend }
}

const BROKEN = new EdgeError('model_invalid', 'Cannot load: the graph\nis broken')

function refusal(refused: () => unknown): { code: unknown; message: string } {
  try {
    refused()
  } catch (error) {
    if (error instanceof EdgeError) return { code: error.code, message: error.message }
  }
  throw new Error('Nothing was refused')
}

describe('without a version in the request', () => {
  test('the latest ready one answers, by value and not by text, whatever the order of loading', async () => {
    const { lanes, load } = stage({
      'm/9': new FakeSession(),
      'm/10': new FakeSession(),
      'm/2': new FakeSession(),
    })
    await load('m/10', 'm/9', 'm/2')
    expect(lanes.find('m', undefined).version).toBe('10')
    expect(lanes.versions('m')).toEqual(['2', '9', '10'])
  })

  test('one that is broken or still loading is passed over', async () => {
    let loaded: (session: FakeSession) => void = () => undefined
    const slow = new Promise<FakeSession>((resolve) => (loaded = resolve))
    const { lanes, load } = stage({ 'm/1': new FakeSession(), 'm/2': BROKEN, 'm/3': slow })
    await load('m/1', 'm/2')
    const loading = load('m/3')
    expect(lanes.find('m', undefined).version).toBe('1')
    expect(refusal(() => lanes.find('m', '3'))).toEqual({
      code: 'model_unavailable',
      message: 'Cannot infer with "m/3": it is LOADING: loading',
    })
    loaded(new FakeSession())
    await loading
    expect(lanes.find('m', undefined).version).toBe('3')
  })

  test('with none ready, the reason of the latest is told', async () => {
    const { lanes, load } = stage({ 'm/1': BROKEN, 'm/2': BROKEN })
    await load('m/1', 'm/2')
    expect(refusal(() => lanes.find('m', undefined))).toEqual({
      code: 'model_unavailable',
      message: 'Cannot infer with "m/2": it is UNAVAILABLE: Cannot load: the graph is broken',
    })
  })
})

describe('a version that fails to load', () => {
  test('is a state with its reason, and leaves the others as they are', async () => {
    const { lanes, load } = stage({ 'm/1': new FakeSession(), 'm/2': BROKEN, 'n/1': new FakeSession() })
    await load('m/1', 'm/2', 'n/1', 'm/3')
    expect(lanes.index()).toEqual([
      { model: 'm', version: '1', state: 'READY', reason: '' },
      { model: 'm', version: '2', state: 'UNAVAILABLE', reason: 'Cannot load: the graph is broken' },
      { model: 'm', version: '3', state: 'UNAVAILABLE', reason: 'There is no m/3' },
      { model: 'n', version: '1', state: 'READY', reason: '' },
    ])
    expect(['1', '2', '3', '4', undefined].map((version) => lanes.isReady('m', version))).toEqual([
      true,
      false,
      false,
      false,
      true,
    ])
  })

  test('what was noted stands in the index', () => {
    const { lanes } = stage({})
    lanes.note('m', '1', 'there is no model.onnx')
    expect(lanes.index()).toEqual([
      { model: 'm', version: '1', state: 'UNAVAILABLE', reason: 'there is no model.onnx' },
    ])
    expect(lanes.isReady('m', undefined)).toBe(false)
    expect(lanes.versions('m')).toEqual([])
  })
})

describe('a label', () => {
  test('stands for its version, and a version of the same name comes first', async () => {
    const { lanes, load } = stage({ 'm/1': new FakeSession(), 'm/2': new FakeSession() })
    await load('m/1', 'm/2')
    lanes.moveLabels('m', { stable: '1', '2': '1' })
    expect(lanes.labels('m')).toEqual({ '2': '1', stable: '1' })
    expect([lanes.find('m', 'stable').version, lanes.find('m', '2').version]).toEqual(['1', '2'])
    expect([lanes.isReady('m', 'stable'), lanes.isReady('m', 'canary')]).toEqual([true, false])
    lanes.moveLabels('m', { stable: '2', '2': null })
    expect([lanes.labels('m'), lanes.find('m', 'stable').version]).toEqual([{ stable: '2' }, '2'])
  })

  test('only points at a version that is ready, and none is moved when one cannot be', async () => {
    const { lanes, load } = stage({ 'm/1': new FakeSession(), 'm/2': BROKEN })
    await load('m/1', 'm/2')
    expect(refusal(() => lanes.moveLabels('m', { stable: '1', canary: '2' }))).toEqual({
      code: 'input_invalid',
      message:
        'Cannot point label "canary" of "m" at version 2: it is UNAVAILABLE: Cannot load: the graph is broken, expected a version that is READY',
    })
    expect(refusal(() => lanes.moveLabels('m', { canary: '3' })).message).toContain('it is UNKNOWN')
    expect(refusal(() => lanes.moveLabels('n', { canary: '3' })).code).toBe('model_unknown')
    expect(lanes.labels('m')).toEqual({})
  })

  test('says why when its version has gone, and goes when that is forgotten', async () => {
    const { lanes, load } = stage({ 'm/1': new FakeSession(), 'm/2': new FakeSession() })
    await load('m/1', 'm/2')
    lanes.moveLabels('m', { stable: '1' })
    await lanes.unload('m', '1')
    expect(refusal(() => lanes.find('m', 'stable')).message).toBe(
      'Cannot infer with "m/1": it is UNAVAILABLE: unloaded',
    )
    lanes.forget('m', '1')
    expect(lanes.labels('m')).toEqual({})
    expect(refusal(() => lanes.find('m', 'stable')).code).toBe('model_unknown')
  })

  test('is one of at most 64', async () => {
    const { lanes, load } = stage({ 'm/1': new FakeSession() })
    await load('m/1')
    const labels = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`l${index}`, '1']))
    lanes.moveLabels('m', labels(64))
    expect(refusal(() => lanes.moveLabels('m', { ['one more']: '1' })).message).toContain('at most 64')
  })
})

describe('what is not there', () => {
  test('a model', () => {
    const { lanes } = stage({})
    expect(refusal(() => lanes.find('nothing', undefined))).toEqual({
      code: 'model_unknown',
      message: "Request for unknown model: 'nothing' is not found",
    })
    expect([lanes.versions('nothing'), lanes.isReady('nothing', undefined)]).toEqual([[], false])
  })

  test('a version, with those that are', async () => {
    const { lanes, load } = stage({ 'm/1': new FakeSession(), 'm/2': new FakeSession() })
    await load('m/1', 'm/2')
    expect(refusal(() => lanes.find('m', '3'))).toEqual({
      code: 'model_unknown',
      message: "Request for unknown model: 'm' version 3 is not found, there is 1, 2",
    })
  })
})

test('close lets go of every session once', async () => {
  const sessions = { 'm/1': new FakeSession(), 'm/2': new FakeSession() }
  const { lanes, load } = stage({ ...sessions, 'm/3': BROKEN })
  await load('m/1', 'm/2', 'm/3')
  await lanes.close()
  expect(Object.values(sessions).map(({ closed }) => closed)).toEqual([1, 1])
  expect(lanes.index()).toEqual([])
})

test.each([
  ['cpu', 'inline'],
  ['cuda', 'thread'],
])('a session on %s runs its quick runs on: %s', async (provider, place) => {
  const session = new FakeSession()
  session.runMs = 0.01
  session.providers = [provider]
  const { lanes } = stage({ 'm/1': session })
  await lanes.load(lanePlan('m', '1'))
  for (let run = 0; run < 33; run += 1) {
    const inputs = [tensor('INPUT0', 'UINT8', [1], [run])]
    const result = await lanes.find('m', '1').infer({ inputs, outputs: undefined, signal: undefined })
    result.release()
  }
  expect(session.runs.at(-1)?.place).toBe(place as 'inline')
})

describe('loading a version that is being served', () => {
  const ask = (lanes: Lanes, value: number) =>
    lanes
      .find('m', '1')
      .infer({ inputs: [tensor('INPUT0', 'UINT8', [1], [value])], outputs: undefined, signal: undefined })

  test('the new one takes over, and the old one answers what it has before it goes', async () => {
    const old = new FakeSession()
    const { lanes, load, backend } = stage({ 'm/1': old })
    await load('m/1')
    old.isHeld = true
    const pending = ask(lanes, 1)
    const next = new FakeSession()
    backend.sessions.set('m/1', next)
    const loading = load('m/1')
    await Bun.sleep(0)
    ;(await ask(lanes, 2)).release()
    expect([next.runs.length, old.closed]).toEqual([1, 0])
    old.finish()
    ;(await pending).release()
    await loading
    expect([old.closed, next.closed]).toEqual([1, 0])
  })

  test('one that cannot be loaded leaves the old one serving, and the index says so', async () => {
    const old = new FakeSession()
    const { lanes, load, backend } = stage({ 'm/1': old })
    await load('m/1')
    backend.sessions.set('m/1', BROKEN)
    await load('m/1')
    expect(lanes.index()).toEqual([
      {
        model: 'm',
        version: '1',
        state: 'READY',
        reason: 'serving what was loaded before, loading again failed: Cannot load: the graph is broken',
      },
    ])
    ;(await ask(lanes, 3)).release()
    expect(old.closed).toBe(0)
  })
})

describe('unloading', () => {
  test('refuses what comes, answers what is there, and is then unavailable', async () => {
    const session = new FakeSession()
    const { lanes, load } = stage({ 'm/1': session, 'm/2': new FakeSession() })
    await load('m/1', 'm/2')
    session.isHeld = true
    const inputs = [tensor('INPUT0', 'UINT8', [1], [1])]
    const pending = lanes.find('m', '1').infer({ inputs, outputs: undefined, signal: undefined })
    const unloading = lanes.unload('m', '1')
    expect(refusal(() => lanes.find('m', '1')).message).toContain('UNLOADING')
    expect(lanes.find('m', undefined).version).toBe('2')
    session.finish()
    ;(await pending).release()
    await unloading
    expect(lanes.index()[0]).toEqual({ model: 'm', version: '1', state: 'UNAVAILABLE', reason: 'unloaded' })
    expect(session.closed).toBe(1)
  })

  test('what is not loaded is nothing to do', async () => {
    const { lanes } = stage({})
    await lanes.unload('m', '1')
    expect(lanes.index()).toEqual([])
  })
})
