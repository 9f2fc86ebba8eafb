/** What a session does when its provider fails while it runs: with runs that end when the test says so. */
import { describe, expect, test } from 'bun:test'
import { EdgeError } from '../../src/kit/errors.ts'
import { logger } from '../../src/kit/log.ts'
import type { ProviderChoice, RunResult } from '../../src/runtime/backend.ts'
import { FailoverSession, type OpenedSession } from '../../src/runtime/failover-session.ts'
import { OrtError } from '../../src/runtime/ort-error.ts'
import { FakeSession, tensor } from '../kit/fake-session.ts'

const REQUEST = { inputs: [tensor('INPUT0', 'UINT8', [1], [7])], outputs: ['OUTPUT0'] }
const FAIL = 1
const EP_FAIL = 11

const ortFailure = (code: number, message: string) =>
  new EdgeError('runtime_failed', `ONNX Runtime says ${message}`, { cause: new OrtError(code, message) })
const LOST = ortFailure(EP_FAIL, 'gpu device lost')
const FAILED = ortFailure(FAIL, 'a kernel failed')

const choices = (...names: string[]): ProviderChoice[] => names.map((name) => ({ name, options: {} }))

/** On "gpu" and, after it, on what the test opens for it. */
function stage() {
  const gpu = new FakeSession()
  gpu.providers = ['GpuExecutionProvider', 'CPUExecutionProvider']
  const asked: string[] = []
  let opened = Promise.withResolvers<OpenedSession>()
  let nowMs = 0
  const session = new FailoverSession({
    id: 'm/1',
    first: { session: gpu, providers: choices('gpu', 'cpu') },
    reopen: (providers) => {
      asked.push(providers.map(({ name }) => name).join(' '))
      opened = Promise.withResolvers()
      return opened.promise
    },
    shownName: (name) => `${name}ExecutionProvider`,
    now: () => nowMs,
    log: logger('runtime'),
  })
  return {
    gpu,
    session,
    asked,
    open: (next: FakeSession) => opened.resolve({ session: next, providers: choices('cpu') }),
    refuseToOpen: () => opened.reject(new Error('no memory left')),
    pass: (ms: number) => (nowMs += ms),
  }
}

const settle = () => new Promise((next) => setImmediate(next))
const answerOf = (result: RunResult) => {
  const bytes = [...(result.outputs[0]?.bytes ?? [])]
  result.release()
  return bytes
}

/** A run on the gpu that ends as the test says. */
async function answerOnce({ gpu, session }: ReturnType<typeof stage>): Promise<void> {
  answerOf(await session.run(REQUEST))
  expect(gpu.runs).not.toBeEmpty()
}

async function failOnce({ gpu, session }: ReturnType<typeof stage>, error: Error): Promise<unknown> {
  gpu.isHeld = true
  const run = session.run(REQUEST)
  await settle()
  gpu.fail(error)
  return await run.catch((thrown: unknown) => thrown)
}

describe('a lost device', () => {
  test('is replaced: the runs in flight and those that come meanwhile are answered by what takes its place', async () => {
    const all = stage()
    const { gpu, session, asked, open } = all
    await answerOnce(all)
    gpu.isHeld = true
    const inFlight = [session.run(REQUEST), session.run(REQUEST)]
    await settle()
    gpu.fail(LOST)
    await settle()
    gpu.fail(LOST)
    const late = session.run(REQUEST)
    await settle()
    expect([asked, gpu.runs.length]).toEqual([['cpu'], 3])
    const cpu = new FakeSession()
    cpu.providers = ['CPUExecutionProvider']
    open(cpu)
    expect((await Promise.all([...inFlight, late])).map(answerOf)).toEqual([[7], [7], [7]])
    expect(session.faults).toEqual({ failedRuns: 2, repeatedRuns: 2, replacements: 1 })
    expect(session.providers).toEqual(['CPUExecutionProvider'])
    expect(session.refusals).toEqual([{ provider: 'gpu', reason: 'gpu device lost', hasFailed: true }])
    expect([gpu.closed, cpu.closed, cpu.released]).toEqual([1, 0, 3])
    await session.close()
    expect([gpu.closed, cpu.closed]).toEqual([1, 1])
  })

  test('is not closed before its last answer is released', async () => {
    const all = stage()
    const { gpu, session, open } = all
    const answered = await session.run(REQUEST)
    const failed = failOnce(all, LOST)
    await settle()
    open(new FakeSession())
    answerOf((await failed) as RunResult)
    expect(gpu.closed).toBe(0)
    answerOf(answered)
    expect(gpu.closed).toBe(1)
    await session.close()
  })

  test('that nothing can take the place of fails each run with what it says, and is tried again later', async () => {
    const all = stage()
    const { session, asked, refuseToOpen, pass, open } = all
    await answerOnce(all)
    const first = failOnce(all, LOST)
    await settle()
    refuseToOpen()
    expect(await first).toBe(LOST)
    expect(await failOnce(all, LOST)).toBe(LOST)
    expect(asked).toEqual(['cpu'])
    pass(5000)
    const later = failOnce(all, LOST)
    await settle()
    open(new FakeSession())
    expect(answerOf((await later) as RunResult)).toEqual([7])
    expect(session.faults.replacements).toBe(1)
    await session.close()
  })
})

describe('three failures in a row', () => {
  test('make the third prove that it is the provider: the processor answers it, and the next ones', async () => {
    const all = stage()
    const { gpu, session, open } = all
    await answerOnce(all)
    expect([await failOnce(all, FAILED), await failOnce(all, FAILED)]).toEqual([FAILED, FAILED])
    const third = failOnce(all, FAILED)
    await settle()
    const cpu = new FakeSession()
    open(cpu)
    expect(answerOf((await third) as RunResult)).toEqual([7])
    expect(answerOf(await session.run(REQUEST))).toEqual([7])
    expect([gpu.runs.length, cpu.runs.length]).toEqual([4, 2])
    expect(session.faults).toEqual({ failedRuns: 3, repeatedRuns: 1, replacements: 1 })
    expect(session.refusals).toEqual([{ provider: 'gpu', reason: 'a kernel failed', hasFailed: true }])
    await session.close()
  })

  test('of requests that the processor cannot answer either leave the provider where it is', async () => {
    const all = stage()
    const { gpu, session, asked, open, pass } = all
    await answerOnce(all)
    for (let times = 0; times < 2; times += 1) await failOnce(all, FAILED)
    const third = failOnce(all, FAILED)
    await settle()
    const cpu = new FakeSession()
    cpu.isHeld = true
    open(cpu)
    await settle()
    // Others go on meanwhile.
    gpu.isHeld = false
    expect(answerOf(await session.run(REQUEST))).toEqual([7])
    cpu.fail(FAILED)
    expect(await third).toBe(FAILED)
    expect([cpu.closed, gpu.closed, session.faults.replacements, session.refusals]).toEqual([1, 0, 0, []])
    // Nor does it cost a load each time.
    for (let times = 0; times < 6; times += 1) await failOnce(all, FAILED)
    expect(asked).toEqual(['cpu'])
    pass(5000)
    const again = failOnce(all, FAILED)
    await settle()
    expect(asked).toEqual(['cpu', 'cpu'])
    open(new FakeSession())
    await again
    await session.close()
  })

  test('with an answer between them change nothing', async () => {
    const all = stage()
    await answerOnce(all)
    for (let times = 0; times < 4; times += 1) {
      expect(await failOnce(all, FAILED)).toBe(FAILED)
      all.gpu.isHeld = times % 2 === 0
      if (!all.gpu.isHeld) await answerOnce(all)
    }
    expect([all.asked, all.session.faults]).toEqual([[], { failedRuns: 4, repeatedRuns: 0, replacements: 0 }])
    await all.session.close()
  })
})

test('two providers that fail one after the other are both gone once the processor has answered', async () => {
  const gpu = new FakeSession()
  const npu = new FakeSession()
  const cpu = new FakeSession()
  for (const each of [gpu, npu]) each.isHeld = true
  const asked: string[] = []
  const session = new FailoverSession({
    id: 'm/1',
    first: { session: gpu, providers: choices('gpu', 'npu', 'cpu') },
    reopen: (providers) => {
      asked.push(providers.map(({ name }) => name).join(' '))
      return Promise.resolve({ session: asked.length === 1 ? npu : cpu, providers })
    },
    shownName: (name) => name,
    now: () => 0,
    log: logger('runtime'),
  })
  const run = session.run(REQUEST)
  await settle()
  gpu.fail(FAILED)
  await settle()
  npu.fail(ortFailure(FAIL, 'so does this one'))
  expect(answerOf(await run)).toEqual([7])
  expect(asked).toEqual(['npu cpu', 'cpu'])
  expect(session.refusals).toEqual([
    { provider: 'gpu', reason: 'a kernel failed', hasFailed: true },
    { provider: 'npu', reason: 'so does this one', hasFailed: true },
  ])
  expect([gpu.closed, npu.closed, cpu.closed]).toEqual([1, 1, 0])
  await session.close()
})

test.each([
  ['a client', new EdgeError('input_invalid', 'no', { cause: new OrtError(2, 'index out of range') })],
  ['one that went away', new EdgeError('cancelled', 'gone')],
])('the fault of %s is none of the provider', async (_, error) => {
  const all = stage()
  expect(await failOnce(all, error)).toBe(error)
  expect([all.asked, all.session.faults.failedRuns]).toEqual([[], 0])
  await all.session.close()
})

test('whoever goes away while its run is repeated is told so, and the answer is given back', async () => {
  const all = stage()
  const { gpu, session, open } = all
  await answerOnce(all)
  gpu.isHeld = true
  const away = new AbortController()
  const run = session.run({ ...REQUEST, signal: away.signal }).catch((thrown: unknown) => thrown)
  await settle()
  gpu.fail(ortFailure(EP_FAIL, 'enqueue failed'))
  await settle()
  away.abort()
  const cpu = new FakeSession()
  open(cpu)
  expect(await run).toMatchObject({ code: 'cancelled' })
  expect([cpu.released, session.faults.replacements]).toEqual([1, 1])
  await session.close()
})
