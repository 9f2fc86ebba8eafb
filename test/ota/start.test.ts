import { expect, test } from 'bun:test'
import { checkPointers } from '../../src/ota/start.ts'
import { assigned, installed, World } from '../kit/ota-stage.ts'

const never = new AbortController().signal

function stage() {
  const world = new World()
  for (const version of ['1', '2']) world.store.put(installed(version))
  world.journal.setGood('vision/yolo', { ...installed('1'), typicalMs: undefined, sinceMs: 0 })
  return world
}

test('a pointer to a whole version is left as it is', async () => {
  const world = stage()
  await checkPointers(world, never)
  expect(world.store.pointers.get('vision/yolo')?.version).toBe('2')
  expect(world.outbox.events).toEqual([])
})

test('one to a version that is not whole falls back to the last good one, and that is told', async () => {
  const world = stage()
  world.store.broken.add(installed('2').manifest)
  await checkPointers(world, never)
  expect(world.store.pointers.get('vision/yolo')?.version).toBe('1')
  expect(world.serve.serving.get('yolo')).toBe('1')
  expect(world.outbox.events).toMatchObject([{ version: '2', to: 'reverted', code: 'pointer_broken' }])
})

test('to nothing that is whole: stuck, and the pointer stays for a person to see', async () => {
  const world = stage()
  for (const version of ['1', '2']) world.store.broken.add(installed(version).manifest)
  await checkPointers(world, never)
  expect(world.store.pointers.get('vision/yolo')?.version).toBe('2')
  expect(world.outbox.events).toMatchObject([{ to: 'stuck', code: 'pointer_broken' }])
})

test('an update on trial decides about its pointer itself', async () => {
  const world = stage()
  world.store.broken.add(installed('2').manifest)
  world.journal.write(world.journal.begin(assigned()).id, { state: 'observe' })
  await checkPointers(world, never)
  expect(world.store.pointers.get('vision/yolo')?.version).toBe('2')
})
