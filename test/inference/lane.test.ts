import { describe, expect, test } from 'bun:test'
import { Lane, type LaneOptions } from '../../src/inference/lane.ts'
import { BugError, EdgeError, ERROR_CODES } from '../../src/kit/errors.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { FakeSession, scheduling, tensor } from '../kit/fake-session.ts'

function stage(options: Partial<LaneOptions> = {}) {
  const session = new FakeSession()
  const clock = new FakeClock()
  const lane = new Lane({
    model: 'echo',
    version: '1',
    session,
    clock,
    scheduling: scheduling(),
    runsMax: 1,
    mayRunInline: true,
    ...options,
  })
  const infer = (value = 0, signal?: AbortSignal) =>
    lane.infer({ inputs: [tensor('INPUT0', 'UINT8', [1], [value])], outputs: undefined, signal })
  return { lane, session, clock, infer }
}

/** Lets everything go on that waits for nothing but its turn. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve()
}

/** Whether it has ended yet. */
function watch(promise: Promise<unknown>): { hasEnded: boolean } {
  const watched = { hasEnded: false }
  const end = () => {
    watched.hasEnded = true
  }
  promise.then(end, end)
  return watched
}

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'answered',
    (error: unknown) => (error instanceof EdgeError ? error.code : error),
  )

const asked = (session: FakeSession) => session.runs.map(({ request }) => request.inputs[0]?.bytes[0])

test('an answer carries the outputs, and lives until it is released', async () => {
  const { session, infer } = stage()
  const result = await infer(7)
  expect(result.outputs.map(({ name, bytes }) => [name, [...bytes]])).toEqual([['OUTPUT0', [7]]])
  expect(session.released).toBe(0)
  result.release()
  expect(session.released).toBe(1)
})

test('what the model cannot take never reaches it, not even while it is busy', async () => {
  const { lane, session, infer } = stage()
  session.isHeld = true
  const running = infer(1)
  const wrong = lane.infer({ inputs: [], outputs: undefined, signal: undefined })
  expect(await codeOf(wrong)).toBe('input_invalid')
  expect(lane.queued).toBe(0)
  session.finish()
  await running
  expect(asked(session)).toEqual([1])
})

describe('the queue', () => {
  test('is left in the order in which it was joined, and its time is told', async () => {
    const { lane, session, clock, infer } = stage()
    session.isHeld = true
    const requests = [infer(1), infer(2), infer(3)]
    await settle()
    expect([asked(session), lane.queued]).toEqual([[1], 2])
    for (const _ of requests) {
      clock.advance(5)
      session.finish()
      await settle()
    }
    expect(asked(session)).toEqual([1, 2, 3])
    await Promise.all(requests)
    expect(lane.statistics.queue).toEqual({ count: 3, ns: 15e6 })
  })

  test('at its bound takes one more, past it refuses with 429 and what it holds', async () => {
    const { lane, session, infer } = stage()
    session.isHeld = true
    const taken = [infer(1), infer(2), infer(3)]
    const refused = infer(4)
    await expect(refused).rejects.toThrow(
      'Cannot infer with "echo/1": Exceeds maximum queue size: 2 wait, at most 2',
    )
    expect(await codeOf(refused)).toBe('queue_full')
    expect(ERROR_CODES.queue_full).toEqual({ http: 429, retry: true })
    session.finish()
    await settle()
    taken.push(infer(5))
    expect(await codeOf(infer(6))).toBe('queue_full')
    // Said before the body is read, in the same words.
    expect(() => lane.refuseIfFull()).toThrow('Exceeds maximum queue size: 2 wait, at most 2')
    expect(lane.statistics.failures.REJECTED).toBe(3)
    for (let index = 0; index < 3; index += 1) {
      session.finish()
      await settle()
    }
    lane.refuseIfFull()
    expect((await Promise.all(taken)).length).toBe(4)
    expect([asked(session), lane.queued]).toEqual([[1, 2, 3, 5], 0])
  })

  test('as many run at once as may', async () => {
    const { lane, session, infer } = stage({ runsMax: 3 })
    session.isHeld = true
    const requests = [1, 2, 3, 4].map((value) => infer(value))
    await settle()
    expect([asked(session), lane.queued]).toEqual([[1, 2, 3], 1])
    for (const _ of requests) {
      session.finish()
      await settle()
    }
    expect((await Promise.all(requests)).length).toBe(4)
  })
})

describe('cancelled', () => {
  test('while it waits: leaves at once, makes room, and is never run', async () => {
    const { lane, session, infer } = stage()
    session.isHeld = true
    const abort = new AbortController()
    const first = infer(1)
    const second = infer(2, abort.signal)
    const third = infer(3)
    abort.abort()
    expect(await codeOf(second)).toBe('cancelled')
    expect(lane.queued).toBe(1)
    const fourth = infer(4)
    for (const request of [first, third, fourth]) {
      session.finish()
      await request
      await settle()
    }
    expect(asked(session)).toEqual([1, 3, 4])
  })

  test('before it came: takes no place in the queue', async () => {
    const { lane, session, infer } = stage()
    session.isHeld = true
    const first = infer(1)
    expect(await codeOf(Promise.race([infer(2, AbortSignal.abort()), settle()]))).toBe('cancelled')
    expect(lane.queued).toBe(0)
    session.finish()
    await first
    expect(asked(session)).toEqual([1])
  })

  test('once it runs: the session is told, the queue is not', async () => {
    const { lane, session, infer } = stage()
    session.isHeld = true
    const abort = new AbortController()
    const first = infer(1)
    const second = infer(2, abort.signal)
    const third = infer(3)
    session.finish()
    await first
    await settle()
    abort.abort()
    expect(session.runs[1]?.request.signal?.aborted).toBe(true)
    expect(lane.queued).toBe(1)
    session.fail(new EdgeError('cancelled', 'Cancelled by the session'))
    expect(await codeOf(second)).toBe('cancelled')
    await settle()
    session.finish()
    await third
  })
})

describe('a run that fails', () => {
  test('is answered with its error, and its place goes to the next', async () => {
    const { lane, session, infer } = stage()
    session.isHeld = true
    const requests = [infer(1), infer(2), infer(3)]
    const codes = Promise.all(requests.map(codeOf))
    session.fail(new EdgeError('runtime_failed', 'The kernel is broken'))
    await settle()
    session.fail(new BugError('Broken claim'))
    await settle()
    session.finish()
    expect(await codes).toEqual(['runtime_failed', new BugError('Broken claim'), 'answered'])
    ;(await requests[2])?.release()
    // Nothing is left behind: it can be closed at once.
    await lane.close()
    expect(session.closed).toBe(1)
  })

  test('a hundred times over leaves no place taken', async () => {
    const { session, infer } = stage({ runsMax: 2 })
    session.isHeld = true
    for (let index = 0; index < 100; index += 1) {
      const failing = codeOf(infer(index))
      session.fail(new EdgeError('runtime_failed', 'Again'))
      expect(await failing).toBe('runtime_failed')
    }
    session.isHeld = false
    await infer(1)
  })
})

describe('in line', () => {
  async function runQuick(infer: (value?: number) => Promise<{ release(): void }>, count: number) {
    for (let index = 0; index < count; index += 1) (await infer()).release()
  }
  const places = (session: FakeSession) => session.runs.map(({ place }) => place)

  test('only after quick runs, and not after two slow ones until there were quick ones again', async () => {
    const { session, infer } = stage()
    session.runMs = 0.01
    await runQuick(infer, 34)
    expect(places(session).lastIndexOf('thread')).toBe(31)
    session.runMs = 0.2
    await runQuick(infer, 2)
    expect(places(session).slice(-2)).toEqual(['inline', 'inline'])
    session.runMs = 0.01
    await runQuick(infer, 32)
    expect(places(session).slice(-32)).not.toContain('inline')
    await runQuick(infer, 1)
    expect(places(session).at(-1)).toBe('inline')
  })

  test('also on a busy machine, where runs take long without doing much', async () => {
    const { session, infer } = stage()
    Object.assign(session, { runMs: 9, busyMs: 0.01 })
    await runQuick(infer, 200)
    expect(places(session).lastIndexOf('thread')).toBe(31)
  })

  test('never where it is not allowed', async () => {
    const { session, infer } = stage({ mayRunInline: false })
    session.runMs = 0.01
    await runQuick(infer, 100)
    expect(places(session)).not.toContain('inline')
  })

  test('never with a large input', async () => {
    const { lane, session, infer } = stage()
    session.runMs = 0.01
    await runQuick(infer, 32)
    const large = tensor('INPUT0', 'UINT8', [65_537], new Uint8Array(65_537))
    ;(await lane.infer({ inputs: [large], outputs: undefined, signal: undefined })).release()
    expect(places(session).at(-1)).toBe('thread')
  })

  test('an error there frees the place as well', async () => {
    const { lane, session, infer } = stage()
    session.runMs = 0.01
    await runQuick(infer, 32)
    session.inlineError = new EdgeError('input_invalid', 'The kernel refuses')
    expect(await codeOf(infer())).toBe('input_invalid')
    session.inlineError = undefined
    await runQuick(infer, 1)
    await lane.close()
    expect(session.closed).toBe(1)
  })
})

describe('answers in order', () => {
  test('wait for those before them, and so does a refusal, which harms nobody until then', async () => {
    const { session, infer } = stage({ scheduling: scheduling({ preserveOrdering: true }), runsMax: 2 })
    session.isHeld = true
    const first = infer(1)
    const refused = codeOf(infer(2, AbortSignal.abort()))
    const watched = watch(refused)
    const third = infer(3)
    const last = watch(third)
    session.finishLast()
    await settle()
    expect([watched.hasEnded, last.hasEnded]).toEqual([false, false])
    session.finish()
    await first
    expect(await refused).toBe('cancelled')
    expect((await third).outputs[0]?.bytes[0]).toBe(3)
  })
})

describe('close', () => {
  test('with nothing inside closes the session at once, and refuses what comes', async () => {
    const { lane, session, infer } = stage()
    await lane.close()
    expect(session.closed).toBe(1)
    const late = infer()
    await expect(late).rejects.toThrow('it is being unloaded')
    expect(await codeOf(late)).toBe('model_unavailable')
  })

  test('waits for what runs and for what waits, until the last answer is released', async () => {
    const { lane, session, infer } = stage()
    session.isHeld = true
    const requests = [infer(1), infer(2)]
    const closing = lane.close()
    const closed = watch(closing)
    expect(await codeOf(infer(3))).toBe('model_unavailable')
    for (const request of requests) {
      session.finish()
      await request
      await settle()
    }
    const [first, second] = await Promise.all(requests)
    second?.release()
    await settle()
    expect([closed.hasEnded, session.closed]).toEqual([false, 0])
    first?.release()
    await closing
    expect([asked(session), session.closed, session.released]).toEqual([[1, 2], 1, 2])
  })

  test('waits no longer for a run that failed', async () => {
    const { lane, session, infer } = stage()
    session.isHeld = true
    const failing = codeOf(infer())
    const closing = lane.close()
    session.fail(new EdgeError('runtime_failed', 'Again'))
    expect(await failing).toBe('runtime_failed')
    await closing
    expect(session.closed).toBe(1)
  })

  test('twice is a bug', async () => {
    const { lane } = stage()
    await lane.close()
    await expect(lane.close()).rejects.toBeInstanceOf(BugError)
  })
})

test('a lane that is held waits with closing, and answers whoever has the hold', async () => {
  const { lane, session, infer } = stage()
  const release = lane.hold()
  const closed = lane.close()
  expect(await codeOf(infer())).toBe('model_unavailable')
  const inputs = [tensor('INPUT0', 'UINT8', [1], [3])]
  const result = await lane.infer({ inputs, outputs: undefined, signal: undefined, isHeld: true })
  expect([...(result.outputs[0]?.bytes ?? [])]).toEqual([3])
  release()
  await settle()
  expect(session.closed).toBe(0)
  result.release()
  await closed
  expect(session.closed).toBe(1)
})
