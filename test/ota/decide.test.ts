import { describe, expect, test } from 'bun:test'
import { AGAIN_MS, chooseUpdates, compareWanted } from '../../src/ota/decide.ts'
import type { State } from '../../src/ota/machine.ts'
import type { Update } from '../../src/ota/update.ts'
import { assigned, installed } from '../kit/ota-stage.ts'

const NOW = 1_750_000_000_000

function update(state: State, of: Partial<Update> = {}): Update {
  return {
    ...assigned(),
    id: 1,
    state,
    transitions: 3,
    boots: 0,
    beganMs: NOW,
    sinceMs: NOW,
    code: '',
    reason: '',
    previous: undefined,
    ...of,
  }
}

function chosen(updates: Update[], running = installed('1'), wanted = [assigned()], nowMs = NOW) {
  return (
    chooseUpdates({ assigned: wanted, updates, running: new Map([[running.model, running]]), nowMs })
      .length === 1
  )
}

describe('begun', () => {
  test.each([
    ['what is assigned and does not run', []],
    ['after another version', [update('committed', { manifest: 'other' })]],
    ['what a newer assignment names again', [update('rejected', { rev: 0 })]],
    ['what has run and fell back', [update('committed')]],
  ])('%s', (_, updates) => {
    expect(chosen(updates)).toBe(true)
  })
})

describe('not begun', () => {
  test('what runs', () => {
    expect(chosen([], installed('2'))).toBe(false)
  })
  test.each([
    ['what is on its way', update('download')],
    ['what was rejected', update('rejected', { code: 'name_taken' })],
    ['what was reverted', update('reverted')],
    ['what asks for a person', update('stuck')],
  ])('%s, however long ago', (_, last) => {
    expect(chosen([last], installed('1'), [assigned()], NOW + 100 * AGAIN_MS)).toBe(false)
  })
})

test('what failed, or was refused for a reason that passes, is tried again after an hour', () => {
  for (const last of [
    update('failed', { code: 'deadline' }),
    update('rejected', { code: 'metadata_expired' }),
    update('rejected', { code: 'no_space' }),
    update('rejected', { code: 'no_memory' }),
  ]) {
    expect(chosen([last], installed('1'), [assigned()], NOW + AGAIN_MS - 1)).toBe(false)
    expect(chosen([last], installed('1'), [assigned()], NOW + AGAIN_MS)).toBe(true)
  }
})

test('the most urgent first, then as assigned', () => {
  const models = ['a/a', 'b/b', 'c/c', 'd/d']
  const priorities = [1, 5, 1, 9]
  const wanted = models.map((model, index) => assigned('2', { model, priority: priorities[index] as number }))
  const order = chooseUpdates({ assigned: wanted, updates: [], running: new Map(), nowMs: NOW })
  expect(order.map(({ model }) => model)).toEqual(['d/d', 'b/b', 'a/a', 'c/c'])
})

test('an update on its way goes on when the same is wanted, in the same way', () => {
  const underway = update('download')
  expect(compareWanted(underway, { ...assigned(), rev: 9 })).toBe('same')
  expect(compareWanted(underway, assigned('3'))).toBe('another')
  expect(compareWanted(underway, undefined)).toBe('another')
  const policy = { ...underway.policy, observeSeconds: 1 }
  expect(compareWanted(underway, { ...assigned(), policy })).toBe('another')
})
