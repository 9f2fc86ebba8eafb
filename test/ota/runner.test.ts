import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Journal } from '../../src/ota/journal.ts'
import {
  BOOTS_MAX,
  canBeSuperseded,
  ENDED,
  GIVE_UP,
  isOnTrial,
  isWorking,
  NEXT,
  OUTCOMES,
  RESUME,
  REVERTS_MAX,
  type State,
  TRANSITIONS_MAX,
  WORKING,
  type Working,
} from '../../src/ota/machine.ts'
import { Runner, SILENT_MS_MAX } from '../../src/ota/runner.ts'
import type { Step, Steps } from '../../src/ota/step.ts'
import { Turns } from '../../src/ota/turns.ts'
import type { Update } from '../../src/ota/update.ts'
import { FlowingClock } from '../kit/flowing-clock.ts'
import { assigned, memoryDatabase, Outbox, PowerCut, type Script, scriptedSteps } from '../kit/ota-stage.ts'
import { SEED } from '../kit/seed.ts'

const GOOD_WAY: State[] = [
  'resolve',
  'plan',
  'download',
  'verify',
  'stage',
  'probe',
  'wait',
  'activate',
  'observe',
  'commit',
  'committed',
]

/** First states, the one that is given up, and the way back may each be written once more. */
const EVENTS_MAX = TRANSITIONS_MAX + REVERTS_MAX + 2

const never = new AbortController().signal

function stage() {
  const clock = new FlowingClock()
  const outbox = new Outbox()
  const journal = new Journal({ database: memoryDatabase(), clock, outbox })
  const runnerOf = (steps: Steps) =>
    new Runner({ journal, steps, clock, turns: new Turns(), progress: () => undefined })
  return { clock, outbox, journal, runnerOf }
}

/** Runs until it ends; each power cut is followed by a start of a new process. */
async function runThrough(script: Script) {
  const staged = stage()
  const { steps, ran } = scriptedSteps(script)
  let update = staged.journal.begin(assigned())
  for (let starts = 0; isWorking(update.state); starts += 1) {
    if (starts > 0) update = staged.runnerOf(steps).resume(staged.journal.find(update.id))
    update = await staged
      .runnerOf(steps)
      .run(update, { newer: never, stop: never })
      .catch((error: unknown) => {
        if (!(error instanceof PowerCut)) throw error
        return staged.journal.find(update.id)
      })
  }
  return { ...staged, update, ran }
}

function times<T>(count: number, value: T): T[] {
  return new Array<T>(count).fill(value)
}

test('a good update goes the whole way, and every state of it is told once, in order', async () => {
  const { outbox, update, ran } = await runThrough({})
  expect(outbox.told).toEqual(GOOD_WAY)
  expect(outbox.events.map(({ from }) => from as State | 'assigned')).toEqual([
    'assigned',
    ...GOOD_WAY.slice(0, -1),
  ])
  expect(outbox.events.map(({ attempt }) => attempt)).toEqual(GOOD_WAY.map((_, index) => index + 1))
  expect(ran as State[]).toEqual(GOOD_WAY.slice(0, -1))
  expect(update.state).toBe('committed')
})

describe.each([...WORKING])('%s', (state) => {
  /** How the update gets into the state. */
  const until: Script = state === 'revert' ? { observe: ['failed'] } : {}
  const before = state === 'revert' ? GOOD_WAY.slice(0, 9) : GOOD_WAY.slice(0, GOOD_WAY.indexOf(state))

  test('failed: it goes where NEXT says, with the reason', async () => {
    const { outbox } = await runThrough({ ...until, [state]: ['failed'] })
    expect(outbox.told.slice(0, before.length + 2)).toEqual([...before, state, NEXT[state].failed])
    expect(outbox.events[before.length + 1]).toMatchObject({
      code: 'test_failed',
      reason: 'said by the test',
    })
  })

  test('rejected and damaged: where NEXT says', async () => {
    for (const outcome of ['rejected', 'damaged'] as const) {
      const { outbox } = await runThrough({ ...until, [state]: [outcome] })
      expect(outbox.told.slice(0, before.length + 2)).toEqual([...before, state, NEXT[state][outcome]])
    }
  })

  test('killed: the next start goes on where RESUME says, and the update ends as if nothing had been', async () => {
    const { ran, update } = await runThrough({ ...until, [state]: ['power cut'] })
    expect(ran[ran.indexOf(state) + 1]).toBe(RESUME[state])
    expect(update.state).toBe(state === 'revert' ? 'reverted' : 'committed')
  })

  test('killed at every start: it ends all the same', async () => {
    const { update, journal } = await runThrough({ ...until, [state]: times(100, 'power cut' as const) })
    // A device that is switched off each night still comes to the end of a download, and always finds its way back.
    if (state === 'revert') expect(update.state).toBe('reverted')
    else if (['download', 'wait', 'commit'].includes(state)) expect(update.state).toBe('committed')
    else if (isOnTrial(state)) expect([update.state, update.code]).toEqual(['reverted', 'boot_loop'])
    else expect(update.state).toBe(GIVE_UP[state])
    expect(journal.isQuarantined(update.manifest)).toBe(isOnTrial(state))
  })

  test('failing for ever: it ends', async () => {
    for (const outcome of OUTCOMES) {
      const { update, outbox } = await runThrough({ ...until, [state]: times(100, outcome) })
      expect(ENDED as readonly State[]).toContain(update.state)
      expect(outbox.events.length).toBeLessThanOrEqual(EVENTS_MAX)
    }
  })

  test('superseded: at once before activate, and after it not until the end', async () => {
    const staged = stage()
    const newer = new AbortController()
    const { steps } = scriptedSteps(until)
    const entered: Step = async (job) => {
      newer.abort()
      expect(job.signal.aborted).toBe(canBeSuperseded(state))
      return { outcome: 'ok' }
    }
    const runner = staged.runnerOf({ ...steps, [state]: entered })
    const ended = await runner.run(staged.journal.begin(assigned()), { newer: newer.signal, stop: never })
    if (canBeSuperseded(state)) {
      expect(staged.outbox.told).toEqual([...before, state, 'rejected'])
      expect(staged.outbox.events.at(-1)).toMatchObject({ code: 'superseded' })
    } else expect(ended.state).toBe(state === 'revert' ? 'reverted' : 'committed')
  })

  test('stopped: nothing is written, and the next process does the state again', async () => {
    const staged = stage()
    const stop = new AbortController()
    const { steps, ran } = scriptedSteps(until)
    const stopping: Step = () => {
      stop.abort()
      return Promise.reject(new Error('stopped'))
    }
    const runner = staged.runnerOf({ ...steps, [state]: stopping })
    const update = await runner.run(staged.journal.begin(assigned()), { newer: never, stop: stop.signal })
    expect(update.state).toBe(state)
    ran.length = 0
    const again = staged.runnerOf(steps)
    await again.run(again.resume(staged.journal.find(update.id)), { newer: never, stop: never })
    expect(ran[0]).toBe(RESUME[state])
  })
})

test('starts that found it on trial are counted, clean stops are not', async () => {
  const { journal, runnerOf } = stage()
  const { steps } = scriptedSteps()
  const stop = new AbortController()
  const stopping: Step = () => {
    stop.abort()
    return Promise.reject(new Error('stopped'))
  }
  let update: Update = journal.begin(assigned())
  update = await runnerOf({ ...steps, observe: stopping }).run(update, { newer: never, stop: stop.signal })
  for (let start = 0; start < 2 * BOOTS_MAX; start += 1) {
    const signals = { newer: never, stop: new AbortController() }
    const cut: Step = () => {
      signals.stop.abort()
      return Promise.reject(new Error('stopped'))
    }
    const runner = runnerOf({ ...steps, observe: cut })
    update = runner.resume(update)
    expect([update.state, update.boots]).toEqual(['observe', 1])
    update = await runner.run(update, { newer: never, stop: signals.stop.signal })
    expect([update.state, update.boots]).toEqual(['observe', 0])
  }
})

test('a step that makes no progress is told to end, and that is a failure with a name', async () => {
  const { journal, runnerOf, clock } = stage()
  const { steps } = scriptedSteps()
  const silent: Step = (job) =>
    new Promise((_, reject) => job.signal.addEventListener('abort', () => reject(new Error('cut'))))
  const began = clock.now()
  const runner = runnerOf({ ...steps, verify: silent })
  const update = await runner.run(journal.begin(assigned()), { newer: never, stop: never })
  expect([update.state, update.code]).toEqual(['failed', 'deadline'])
  expect(clock.now() - began).toBe(SILENT_MS_MAX.verify)
})

test('progress keeps the deadline away', async () => {
  const { journal, runnerOf, clock } = stage()
  const { steps } = scriptedSteps()
  const slow: Step = async (job) => {
    for (let part = 0; part < 10; part += 1) {
      await clock.sleep(SILENT_MS_MAX.verify - 1, job.signal)
      job.signal.throwIfAborted()
      job.progress(undefined)
    }
    return { outcome: 'ok' }
  }
  const runner = runnerOf({ ...steps, verify: slow })
  const update = await runner.run(journal.begin(assigned()), { newer: never, stop: never })
  expect(update.state).toBe('committed')
})

test('a step that does not heed its signal ends the process, and the journal brings the next one on', async () => {
  const { journal, runnerOf } = stage()
  const { steps } = scriptedSteps()
  const deaf: Step = () => new Promise(() => undefined)
  const update = journal.begin(assigned())
  const run = runnerOf({ ...steps, verify: deaf }).run(update, { newer: never, stop: never })
  await expect(run).rejects.toThrow(/verify goes on 60 s after/)
  const next = runnerOf(steps)
  const ended = await next.run(next.resume(journal.find(update.id)), { newer: never, stop: never })
  expect(ended.state).toBe('committed')
})

test('a bug in a step ends the process, and does not pass for a failure of the version', async () => {
  const { journal, runnerOf } = stage()
  const { steps } = scriptedSteps()
  const buggy: Step = () => Promise.reject(new TypeError('undefined is not a function'))
  const update = journal.begin(assigned())
  const run = runnerOf({ ...steps, plan: buggy }).run(update, { newer: never, stop: never })
  await expect(run).rejects.toThrow(TypeError)
  expect(journal.find(update.id)).toMatchObject({ state: 'plan', code: '' })
})

const anyOutcome = fc.oneof(
  { weight: 4, arbitrary: fc.constant('ok' as const) },
  { weight: 2, arbitrary: fc.constantFrom(...OUTCOMES) },
  { weight: 1, arbitrary: fc.constant('power cut' as const) },
)
const anyScript = fc.record(
  Object.fromEntries(WORKING.map((state) => [state, fc.array(anyOutcome, { maxLength: 40 })])),
) as fc.Arbitrary<Script>

test('whatever happens, it ends, and every change is told once and follows from the one before', async () => {
  await fc.assert(
    fc.asyncProperty(anyScript, async (script) => {
      const { update, outbox } = await runThrough(script)
      expect(ENDED as readonly State[]).toContain(update.state)
      expect(outbox.events.length).toBeLessThanOrEqual(EVENTS_MAX)
      for (const [index, { from, to }] of outbox.events.entries()) {
        expect<string>(from).toBe(outbox.told[index - 1] ?? 'assigned')
        if (from !== 'assigned' && isWorking(from)) expect(follows(from) as readonly string[]).toContain(to)
      }
      // What was activated and not committed was taken back, or a person was called.
      if (outbox.told.includes('activate')) expect(['committed', 'reverted', 'stuck']).toContain(update.state)
      else expect(['rejected', 'failed']).toContain(update.state)
    }),
    { seed: SEED, numRuns: 200 },
  )
}, 60_000)

/** All that may come after a state: by the tables, and for the one that would have come when no transition is left. */
function follows(state: Working): State[] {
  const next = [...Object.values(NEXT[state]), RESUME[state]]
  const givenUp = next.filter(isWorking).map((each) => GIVE_UP[each])
  return [...next, ...givenUp, ...(isOnTrial(state) ? ['revert' as const] : [])]
}
