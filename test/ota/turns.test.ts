import { expect, test } from 'bun:test'
import type { State } from '../../src/ota/machine.ts'
import { Turns } from '../../src/ota/turns.ts'
import type { Update } from '../../src/ota/update.ts'
import { assigned } from '../kit/ota-stage.ts'

const never = new AbortController().signal

function update(state: State, priority = 50): Update {
  const facts = {
    id: 1,
    transitions: 1,
    boots: 0,
    beganMs: 0,
    sinceMs: 0,
    code: '',
    reason: '',
    previous: undefined,
  }
  return { ...assigned('2', { priority }), ...facts, state }
}

test('one at a time, the urgent ones first, equal ones as they came', async () => {
  const turns = new Turns()
  const held = await turns.change(undefined, update('resolve'), [never])
  const order: string[] = []
  const wait = async (name: string, priority: number) => {
    const turn = await turns.change(undefined, update('plan', priority), [never])
    order.push(name)
    turn?.release()
  }
  const all = [wait('b', 50), wait('c', 50), wait('a', 90), wait('d', 10)]
  held?.release()
  await Promise.all(all)
  expect(order).toEqual(['a', 'b', 'c', 'd'])
  expect(turns.isTaken('bring')).toBe(false)
})

test('bringing and trial do not wait for each other, waiting for a window holds nothing', async () => {
  const turns = new Turns()
  const bring = await turns.change(undefined, update('download'), [never])
  const trial = await turns.change(undefined, update('observe'), [never])
  expect([bring?.kind, trial?.kind]).toEqual(['bring', 'trial'])
  expect(await turns.change(bring, update('verify'), [never])).toBe(bring as never)
  expect(await turns.change(bring, update('wait'), [never])).toBeUndefined()
  expect([turns.isTaken('bring'), turns.isTaken('trial')]).toEqual([false, true])
})

test('who is called away while waiting has no turn, and takes none from anybody', async () => {
  const turns = new Turns()
  const held = await turns.change(undefined, update('resolve'), [never])
  const away = new AbortController()
  const waiting = turns.change(undefined, update('resolve'), [away.signal])
  const next = turns.change(undefined, update('resolve'), [never])
  away.abort()
  expect(await waiting).toBeUndefined()
  held?.release()
  held?.release()
  expect((await next)?.kind).toBe('bring')
  expect(await turns.change(undefined, update('resolve'), [away.signal])).toBeUndefined()
})
