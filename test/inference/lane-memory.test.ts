import { expect, test } from 'bun:test'
import { LaneMemory } from '../../src/inference/lane-memory.ts'

function memory(fileBytes: number, loaded: number | undefined) {
  const arena = { arenaBytes: loaded }
  return { memory: new LaneMemory(arena, fileBytes), arena }
}

test('weights are the files, or what loading has packed them into when that is more', () => {
  expect(memory(100, 10).memory.bytes).toBe(100)
  expect(memory(100, 110).memory.bytes).toBe(110)
})

test('what runs have grown by comes on top', () => {
  const { memory: lane, arena } = memory(100, 10)
  arena.arenaBytes = 60
  expect([lane.bytes, lane.grownBytes]).toEqual([150, 50])
})

test('a runtime that cannot say leaves the files', () => {
  expect(memory(100, undefined).memory.bytes).toBe(100)
  // On its way out.
  const { memory: lane, arena } = memory(100, 10)
  arena.arenaBytes = undefined
  expect(lane.bytes).toBe(100)
})
