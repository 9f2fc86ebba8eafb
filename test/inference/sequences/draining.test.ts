/** Sequences that go on while another lane takes over. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Lanes } from '../../../src/inference/lanes.ts'
import { DrainingLanes } from '../../../src/inference/sequences/draining.ts'
import type { SequencePlan } from '../../../src/inference/sequences/plan.ts'
import { setLogLevel } from '../../../src/kit/log.ts'
import type { Signature } from '../../../src/runtime/backend.ts'
import { FakeClock } from '../../kit/fake-clock.ts'
import { FakeBackend, FakeSession, lanePlan, spec, tensor } from '../../kit/fake-session.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

const SIGNATURE: Signature = {
  inputs: [spec('INPUT0', 'UINT8', [-1])],
  outputs: [spec('OUTPUT0', 'UINT8', [-1])],
  unsupportedOutputs: [],
}

const SEQUENCES: SequencePlan = {
  strategy: { kind: 'oldest', candidatesMax: 4 },
  idleMsMax: 3_600_000,
  stateBytesMax: 1,
  controls: [],
  states: [],
}

const START = { id: 1n, isStart: true, isEnd: false }
const NEXT = { id: 1n, isStart: false, isEnd: false }
const END = { id: 1n, isStart: false, isEnd: true }

function stage(...ids: string[]) {
  const backend = new FakeBackend()
  const sessions = ids.map((id) => {
    const session = new FakeSession(SIGNATURE)
    backend.sessions.set(id, session)
    return session
  })
  const lanes = new Lanes({ backend, clock: new FakeClock(), runsMax: 1 })
  const load = async (id: string) => {
    const [model = '', version = ''] = id.split('/')
    await lanes.load({ ...lanePlan(model, version), sequences: SEQUENCES })
  }
  const ask = async (sequence: typeof START, version?: string) => {
    const lane = lanes.find('m', version, sequence)
    const inputs = [tensor('INPUT0', 'UINT8', [1], [7])]
    const result = await lane.infer({ inputs, outputs: undefined, signal: undefined, sequence })
    result.release()
    return lane.version
  }
  return { backend, lanes, load, ask, sessions }
}

test('a sequence goes on in the version where it began, and that is let go when it has ended', async () => {
  const { lanes, load, ask, sessions } = stage('m/1', 'm/2')
  await load('m/1')
  await ask(START)
  await load('m/2')
  await lanes.unload('m', '1')
  expect(await ask(NEXT)).toBe('1')
  expect(await ask({ ...START, id: 2n })).toBe('2')
  expect(sessions[0]?.closed).toBe(0)
  expect(await ask(END)).toBe('1')
  // No sequence of that id is left anywhere: the newest version says so.
  await expect(ask(NEXT)).rejects.toMatchObject({ code: 'input_invalid' })
  expect(sessions[0]?.closed).toBe(1)
  await lanes.close()
})

test('a sequence that began in an older version stays there while both serve', async () => {
  const { lanes, load, ask } = stage('m/1', 'm/2')
  await load('m/1')
  await ask(START)
  await load('m/2')
  expect([await ask(NEXT), await ask({ ...START, id: 2n }), await ask(END)]).toEqual(['1', '2', '1'])
  await lanes.close()
})

test('without sequences in progress nothing is kept', async () => {
  const { lanes, load, ask, sessions } = stage('m/1', 'm/2')
  await load('m/1')
  await ask(START)
  await ask(END)
  await load('m/2')
  await lanes.unload('m', '1')
  expect(sessions[0]?.closed).toBe(1)
  await lanes.close()
})

test('where no version is left its sequences end with it', async () => {
  const { lanes, load, ask, sessions } = stage('m/1')
  await load('m/1')
  await ask(START)
  await lanes.unload('m', '1')
  expect(sessions[0]?.closed).toBe(1)
  await expect(ask(NEXT)).rejects.toMatchObject({ code: 'model_unavailable' })
})

test('stopping does not wait for sequences to end', async () => {
  const { lanes, load, ask, sessions } = stage('m/1', 'm/2')
  await load('m/1')
  await ask(START)
  await load('m/2')
  await lanes.unload('m', '1')
  await ask({ ...START, id: 2n })
  await lanes.close()
  expect(sessions.map(({ closed }) => closed)).toEqual([1, 1])
})

describe('a lane on its way out', () => {
  test('refuses what begins, so that a client may try again', async () => {
    const { lanes, load, ask } = stage('m/1')
    await load('m/1')
    await ask(START)
    const lane = lanes.find('m', '1')
    const draining = new DrainingLanes()
    await draining.letGo(lane)
    await expect(ask({ ...START, id: 2n })).rejects.toMatchObject({ code: 'model_unavailable' })
    expect(draining.find('m', undefined, NEXT)).toBe(lane)
    expect(draining.find('m', '2', NEXT)).toBeUndefined()
    expect(await ask(NEXT)).toBe('1')
    await draining.close()
  })

  test('is let go when the time is up, whatever goes on in it', async () => {
    const { lanes, load, ask, sessions } = stage('m/1')
    await load('m/1')
    await ask(START)
    const draining = new DrainingLanes(1)
    const lane = lanes.find('m', '1')
    await draining.letGo(lane)
    await lane.sequences?.settled()
    expect(draining.find('m', undefined, NEXT)).toBeUndefined()
    await draining.close()
    expect(sessions[0]?.closed).toBe(1)
  })
})
