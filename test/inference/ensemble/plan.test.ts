import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type EnsembleStep, endTensors, openTensors, planRun } from '../../../src/inference/ensemble/plan.ts'
import { anyEnsemble, step } from '../../kit/ensembles.ts'
import { SEED } from '../../kit/seed.ts'

describe('a plan', () => {
  const steps = [
    step('post', { in: 'scores' }, { out: 'answer' }),
    step('net', { x: 'pixels', y: 'also' }, { scores: 'scores', more: 'unread' }),
    step('other', { x: 'pixels' }, { label: 'label' }),
    step('pre', { image: 'image' }, { pixels: 'pixels' }),
  ]

  test('has the steps in an order that can be run, whatever that of the settings', () => {
    expect(planRun(steps, ['answer', 'label'])).toEqual([
      { index: 3, step: steps[3], outputs: ['pixels'], readers: [1, 3], waitsFor: 0, isAnswer: false },
      { index: 1, step: steps[1], outputs: ['scores'], readers: [2], waitsFor: 1, isAnswer: false },
      { index: 0, step: steps[0], outputs: ['out'], readers: [], waitsFor: 1, isAnswer: true },
      { index: 2, step: steps[2], outputs: ['label'], readers: [], waitsFor: 1, isAnswer: true },
    ] as ReturnType<typeof planRun>)
  })

  test('leaves out what nobody wants', () => {
    expect(planRun(steps, ['label']).map(({ index }) => index)).toEqual([3, 2])
    expect(planRun(steps, ['pixels'])).toMatchObject([{ index: 3, readers: [], isAnswer: true }])
    expect(planRun(steps, [])).toEqual([])
  })

  test('knows what comes with a request and what is left at the end', () => {
    expect(openTensors(steps)).toEqual(['also', 'image'])
    expect(endTensors(steps)).toEqual(['answer', 'unread', 'label'])
  })
})

/** Goes through a plan step by step, and sees that nothing is read before it is made or after it is let go. */
function walk(steps: readonly EnsembleStep[], wanted: readonly string[]): void {
  const plan = planRun(steps, wanted)
  const open = openTensors(steps)
  const alive = new Set(open)
  const users = plan.map(({ readers, isAnswer }) => readers.length + Number(isAnswer))
  const letGo = (place: number) => {
    users[place] = (users[place] ?? 0) - 1
    expect(users[place]).toBeGreaterThanOrEqual(0)
    if (users[place] === 0) for (const name of namesOf(place)) alive.delete(name)
  }
  const namesOf = (place: number) =>
    (plan[place]?.outputs ?? []).map((output) => plan[place]?.step.outputs[output] ?? '')
  for (const [place, planned] of plan.entries()) {
    for (const name of Object.values(planned.step.inputs)) expect(alive.has(name)).toBe(true)
    expect(planned.outputs.length).toBeGreaterThan(0)
    const producers = plan.filter(({ readers }) => readers.includes(place))
    expect(producers.length).toBe(planned.waitsFor)
    for (const name of namesOf(place)) alive.add(name)
    for (const [producer, { readers }] of plan.entries()) if (readers.includes(place)) letGo(producer)
  }
  for (const name of wanted) expect(alive.has(name)).toBe(true)
  for (const [place, { isAnswer }] of plan.entries()) if (isAnswer) letGo(place)
  expect([...alive].sort()).toEqual([...open].sort())
}

test('any ensemble: nothing is read too early or too late, and nothing lives beyond the answer', () => {
  fc.assert(
    fc.property(anyEnsemble, ({ steps, wanted }) => walk(steps, wanted)),
    { seed: SEED, numRuns: 500 },
  )
})

test('any ensemble: a step is in the plan if and only if a wanted tensor comes of it', () => {
  fc.assert(
    fc.property(anyEnsemble, ({ steps, wanted }) => {
      const needed = new Set(wanted)
      // As slowly as can be: until nothing is added any more.
      for (let before = -1; before !== needed.size; ) {
        before = needed.size
        for (const { inputs, outputs } of steps) {
          if (!Object.values(outputs).some((name) => needed.has(name))) continue
          for (const name of Object.values(inputs)) needed.add(name)
        }
      }
      const expected = steps.filter(({ outputs }) => Object.values(outputs).some((name) => needed.has(name)))
      const plan = planRun(steps, wanted)
      expect(new Set(plan.map((planned) => planned.step))).toEqual(new Set(expected))
      for (const { step: of, outputs } of plan) {
        const read = Object.entries(of.outputs).filter(([, name]) => needed.has(name))
        expect(outputs).toEqual(read.map(([output]) => output))
      }
    }),
    { seed: SEED, numRuns: 500 },
  )
})
