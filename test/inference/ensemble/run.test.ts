import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type EnsembleStep, openTensors, planRun } from '../../../src/inference/ensemble/plan.ts'
import { EnsembleRun, type StepLane } from '../../../src/inference/ensemble/run.ts'
import type { LaneRequest, LaneResult } from '../../../src/inference/job.ts'
import { EdgeError } from '../../../src/kit/errors.ts'
import type { RunRequest } from '../../../src/runtime/backend.ts'
import { anyEnsemble, step } from '../../kit/ensembles.ts'
import { FakeClock } from '../../kit/fake-clock.ts'
import { tensor } from '../../kit/fake-session.ts'
import { SEED } from '../../kit/seed.ts'

interface Asked {
  readonly model: string
  readonly request: LaneRequest
  finish(): void
  fail(error: Error): void
}

/** All lanes of an ensemble. Runs end when the test says so; memory that is read after it was given back is noticed. */
class Stage {
  readonly clock = new FakeClock()
  /** What runs, oldest first. */
  readonly running: Asked[] = []
  readonly ran: string[] = []
  readonly faults: string[] = []
  held = 0
  unreleased = 0
  readonly #steps: readonly EnsembleStep[]
  /** Bytes that have been given back. */
  readonly #gone = new WeakSet<Uint8Array>()

  constructor(steps: readonly EnsembleStep[]) {
    this.#steps = steps
  }

  start(wanted: readonly string[], of: Partial<RunRequest> = {}) {
    const plan = planRun(this.#steps, wanted)
    const inputs = openTensors(this.#steps).map((name) => tensor(name, 'UINT8', [1], [1]))
    const request = { inputs, outputs: wanted, ...of }
    const lanes = plan.map((planned) => this.#lane(planned.step.model))
    return new EnsembleRun({ id: 'whole/1', plan, lanes, request, clock: this.clock }).run()
  }

  /** Ends the run of a model, and lets everything go on that waits for nothing but its turn. */
  async finish(model: string): Promise<void> {
    this.#find(model).finish()
    await settle()
  }

  async fail(model: string, error: Error): Promise<void> {
    this.#find(model).fail(error)
    await settle()
  }

  get models(): string[] {
    return this.running.map(({ model }) => model)
  }

  #find(model: string): Asked {
    const asked = this.running.find((each) => each.model === model)
    if (asked === undefined) throw new Error(`${model} does not run`)
    return asked
  }

  #lane(model: string): StepLane {
    return {
      id: `${model}/1`,
      hold: () => {
        this.held += 1
        return () => {
          this.held -= 1
        }
      },
      infer: (request) => this.#infer(model, request),
    }
  }

  #infer(model: string, request: LaneRequest): Promise<LaneResult> {
    const { promise, resolve, reject } = Promise.withResolvers<LaneResult>()
    if (this.held === 0) this.faults.push(`${model} ran without a hold`)
    const end = () => {
      this.running.splice(this.running.indexOf(asked), 1)
      for (const { name, bytes } of request.inputs) {
        if (this.#gone.has(bytes)) this.faults.push(`${model} read ${name} after it was given back`)
      }
    }
    const asked: Asked = {
      model,
      request,
      finish: () => {
        end()
        resolve(this.#answer(model, request))
      },
      fail: (error) => {
        end()
        reject(error)
      },
    }
    this.running.push(asked)
    this.ran.push(model)
    return promise
  }

  /** The sum of the inputs, and one more for each output. */
  #answer(model: string, { inputs, outputs }: LaneRequest): LaneResult {
    const sum = inputs.reduce((total, { bytes }) => total + (bytes[0] ?? 0), 0)
    const made = (outputs ?? []).map((name, index) => tensor(name, 'UINT8', [1], [(sum + 1 + index) % 256]))
    this.unreleased += 1
    let isReleased = false
    const release = () => {
      if (isReleased) this.faults.push(`${model} was released twice`)
      isReleased = true
      this.unreleased -= 1
      for (const { bytes } of made) this.#gone.add(bytes)
    }
    return { outputs: made, release }
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve()
}

const DIAMOND = [
  step('pre', { i: 'in' }, { o: 'a' }),
  step('left', { i: 'a' }, { o: 'b' }),
  step('right', { i: 'a' }, { o: 'c' }),
  step('post', { i: 'b', j: 'c' }, { o: 'd' }),
]

describe('a run', () => {
  test('begins each step when what it reads is there, branches beside each other', async () => {
    const stage = new Stage(DIAMOND)
    const run = stage.start(['d'])
    expect(stage.models).toEqual(['pre'])
    await stage.finish('pre')
    expect(stage.models).toEqual(['left', 'right'])
    await stage.finish('right')
    expect(stage.models).toEqual(['left'])
    await stage.finish('left')
    expect(stage.models).toEqual(['post'])
    await stage.finish('post')
    const result = await run
    expect(result.outputs).toEqual([tensor('d', 'UINT8', [1], [7])])
    result.release()
    expect([stage.unreleased, stage.held, stage.faults]).toEqual([0, 0, []])
  })

  test('gives memory back as soon as the last step that reads it is done', async () => {
    const stage = new Stage(DIAMOND)
    const run = stage.start(['d'])
    const counts: number[] = []
    for (const model of ['pre', 'left', 'right', 'post']) {
      await stage.finish(model)
      counts.push(stage.unreleased)
    }
    // Of "pre" until both branches are done; then of the branches; then of the answer alone.
    expect(counts).toEqual([1, 2, 2, 1])
    ;(await run).release()
    expect(stage.unreleased).toBe(0)
  })

  test('passes tensors on as they are, under the names of the models', async () => {
    const stage = new Stage(DIAMOND)
    const run = stage.start(['d'])
    await stage.finish('pre')
    const [left, right] = stage.running.map(({ request }) => request.inputs[0])
    expect([left?.name, right?.name]).toEqual(['i', 'i'])
    expect(left?.bytes).toBe(right?.bytes as Uint8Array<ArrayBuffer>)
    for (const model of ['left', 'right', 'post']) await stage.finish(model)
    ;(await run).release()
  })

  test('leaves an optional input out of the steps when it was left out of the request', async () => {
    const stage = new Stage([step('net', { i: 'in', bias: 'extra' }, { o: 'out' })])
    const run = stage.start(['out'], { inputs: [tensor('in', 'UINT8', [1], [5])] })
    expect(stage.running[0]?.request.inputs.map(({ name }) => name)).toEqual(['i'])
    await stage.finish('net')
    ;(await run).release()
  })

  test('answers a request that wants nothing without a run', async () => {
    const stage = new Stage(DIAMOND)
    const result = await stage.start([])
    result.release()
    expect([result.outputs, stage.ran]).toEqual([[], []])
  })
})

describe('what a request says of itself', () => {
  test('goes to each step, the timeout less what has passed', async () => {
    const stage = new Stage(DIAMOND)
    const sequence = { id: 7n, isStart: true, isEnd: false }
    const run = stage.start(['b'], { wishes: { priority: 2, timeoutMs: 100, isVolatile: true, sequence } })
    const { request } = stage.running[0] as Asked
    expect(request).toMatchObject({ priority: 2, timeoutMs: 100, isVolatile: true, sequence })
    stage.clock.advance(30)
    await stage.finish('pre')
    expect(stage.running[0]?.request).toMatchObject({ priority: 2, timeoutMs: 70, isVolatile: true })
    await stage.finish('left')
    ;(await run).release()
  })

  test('no timeout stays none, and one that is over is not none', async () => {
    for (const [timeoutMs, left] of [
      [0, 0],
      [10, 0.001],
    ] as const) {
      const stage = new Stage(DIAMOND)
      const run = stage.start(['b'], { wishes: { timeoutMs } })
      stage.clock.advance(30)
      await stage.finish('pre')
      expect(stage.running[0]?.request.timeoutMs).toBe(left)
      await stage.finish('left')
      ;(await run).release()
    }
  })
})

describe('a failure', () => {
  test('names step and model, keeps its code, begins nothing more and waits for what runs', async () => {
    const stage = new Stage(DIAMOND)
    const run = stage.start(['d'])
    await stage.finish('pre')
    let hasEnded = false
    run.catch(() => (hasEnded = true))
    await stage.fail('right', new EdgeError('queue_full', 'Exceeds maximum queue size'))
    expect([hasEnded, stage.models]).toEqual([false, ['left']])
    expect(stage.running[0]?.request.signal?.aborted).toBe(true)
    await stage.finish('left')
    await expect(run).rejects.toMatchObject({
      code: 'queue_full',
      message: 'Cannot infer with "whole/1": step 3 ("right/1"): Exceeds maximum queue size',
    })
    expect([stage.ran, stage.unreleased, stage.held]).toEqual([['pre', 'left', 'right'], 0, 0])
  })

  test('of the client, who has gone away, ends what runs', async () => {
    const stage = new Stage(DIAMOND)
    const client = new AbortController()
    const run = stage.start(['d'], { signal: client.signal })
    await stage.finish('pre')
    client.abort()
    expect(stage.running.map(({ request }) => request.signal?.aborted)).toEqual([true, true])
    for (const model of ['left', 'right']) await stage.fail(model, new EdgeError('cancelled', 'cancelled'))
    await expect(run).rejects.toMatchObject({ code: 'cancelled' })
    expect([stage.unreleased, stage.held]).toEqual([0, 0])
  })
})

test('any ensemble, whatever ends first and whatever fails: nothing is lost, nothing is read too late', async () => {
  const chance = fc.array(fc.record({ which: fc.nat(1000), fails: fc.nat(9) }), {
    minLength: 10,
    maxLength: 10,
  })
  await fc.assert(
    fc.asyncProperty(anyEnsemble, chance, async ({ steps, wanted }, chances) => {
      const stage = new Stage(steps)
      const run = stage.start(wanted)
      const ended = run.then(
        (result) => result,
        (error: unknown) => error as EdgeError,
      )
      let failures = 0
      for (let turn = 0; stage.running.length > 0; turn += 1) {
        const { which = 0, fails = 0 } = chances[turn % 10] ?? {}
        const model = stage.models[which % stage.models.length] ?? ''
        if (fails === 9) {
          failures += 1
          await stage.fail(model, new EdgeError('runtime_failed', `${model} broke`))
        } else await stage.finish(model)
      }
      const outcome = await ended
      expect(outcome instanceof EdgeError).toBe(failures > 0)
      if (!(outcome instanceof EdgeError)) {
        expect(outcome.outputs.map(({ name }) => name)).toEqual([...wanted])
        expect(stage.ran.length).toBe(planRun(steps, wanted).length)
        outcome.release()
      }
      expect([stage.unreleased, stage.held, stage.faults]).toEqual([0, 0, []])
    }),
    { seed: SEED, numRuns: 300 },
  )
})
