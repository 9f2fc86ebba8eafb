/** What devices say of themselves, in whatever order it comes; and a database that is newer than the program. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import fc from 'fast-check'
import { openDatabase, transact } from '../../src/kit/database.ts'
import type { Frame } from '../../src/link/frame.ts'
import type { Request } from '../../src/link/messages.ts'
import { AnswerDesk } from '../../src/registry/answer-desk.ts'
import type { AnswerSources } from '../../src/registry/answers.ts'
import { migrate } from '../../src/registry/schema.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { SEED } from '../kit/seed.ts'
import { type RegistryStage, stageRegistry } from './stage.ts'

let stage: RegistryStage
beforeAll(async () => {
  stage = await stageRegistry()
})
afterAll(() => stage.remove())

/** As a device of that session says it. */
const birth = (sid: string, seq: number) => ({ sid, seq, online: true, body: { sid, seq, online: true } })
const death = (sid: string, seq: number) => ({ sid, seq, online: false, body: { sid, seq, online: false } })

describe('a state', () => {
  test('an old death after a new birth changes nothing; the last death does, and what was known stays known', () => {
    const { devices } = stage.registry
    devices.enrol('cam-01', {})
    devices.keepState('cam-01', birth('a', 1))
    devices.keepState('cam-01', birth('a', 11))
    devices.keepState('cam-01', death('a', 9))
    expect(devices.get('cam-01')).toMatchObject({ isOnline: true, state: { seq: 11 } })
    devices.keepState('cam-01', death('a', 19))
    expect(devices.get('cam-01')).toMatchObject({ isOnline: false, state: { seq: 11 } })
  })

  test('of a device that was made anew counts from its own beginning, and the death of the one before does not', () => {
    const { devices } = stage.registry
    devices.enrol('cam-02', {})
    devices.keepState('cam-02', birth('a', 500))
    devices.keepState('cam-02', birth('b', 1))
    devices.keepState('cam-02', death('a', 999))
    expect(devices.get('cam-02')).toMatchObject({ isOnline: true, state: { sid: 'b', seq: 1 } })
  })

  test('in any order, some of them twice, the newest stands', () => {
    const { devices } = stage.registry
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 40 }), (seqs) => {
        devices.enrol('cam-03', {})
        const sid = `s${seqs.join('-')}`.slice(0, 60)
        for (const seq of seqs) devices.keepState('cam-03', birth(sid, seq))
        expect(devices.get('cam-03').state).toMatchObject({ seq: Math.max(...seqs) })
      }),
      { seed: SEED, numRuns: 30 },
    )
  })
})

describe('events', () => {
  const event = (seq: number) => ({ device: 'door-01', sid: 'a', seq, body: { to: `state-${seq}` } })

  test('that come twice are there once, and are read on from where a reader stopped', () => {
    const { devices } = stage.registry
    devices.enrol('door-01', {})
    devices.keepEvents([event(1), event(2), event(1)])
    devices.keepEvents([event(2), event(3)])
    const page = devices.events('door-01', { after: 0, count: 2 })
    expect(page.map(({ seq, body }) => [seq, body])).toEqual([
      [1, { to: 'state-1' }],
      [2, { to: 'state-2' }],
    ])
    const rest = devices.events('door-01', { after: page.at(-1)?.number ?? 0, count: 9 })
    expect(rest.map(({ seq }) => seq)).toEqual([3])
  })

  test('of one device are at most 10,000: the oldest go', () => {
    const { devices } = stage.registry
    devices.enrol('door-01', {})
    devices.keepEvents(Array.from({ length: 10_050 }, (_, index) => event(100 + index)))
    const [first] = devices.events('door-01', { after: 0, count: 1 })
    expect(first?.seq).toBe(150)
  })
})

test('a database of a newer program is refused; one of this program is left as it is', () => {
  const database = openDatabase(join(stage.fleet, 'other.sqlite'))
  transact(database, () => migrate(database))
  transact(database, () => migrate(database))
  const version = Number(database.pragma('user_version'))
  database.exec(`PRAGMA user_version = ${version + 1}`)
  expect(() => migrate(database)).toThrow(
    `its schema is version ${version + 1}, this program knows ${version}`,
  )
  database.close()
})

describe('the desk where devices are answered', () => {
  const sync = (rid: number, line: number): Request => ({ op: 'sync', rid, line, rev: 0, frame_bytes: 1_000 })

  /** Each frame waits until it is let go. */
  function stageDesk() {
    const sent: [device: string, request: number, kind: Frame['kind']][] = []
    const held: (() => void)[] = []
    const clock = new FakeClock()
    const desk = new AnswerDesk({
      clock,
      sources: { sync: () => ({}) } as unknown as AnswerSources,
      send: (device, frame) => {
        sent.push([device, frame.request, frame.kind])
        return new Promise((resolve) => held.push(resolve))
      },
    })
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    const letGo = async () => {
      for (let round = 0; round < 50; round += 1) {
        for (const go of held.splice(0)) go()
        await turn()
      }
    }
    return { desk, clock, sent, letGo, turn }
  }

  test('answers one question of a device after the other, and takes four that wait', async () => {
    const { desk, sent, letGo, turn } = stageDesk()
    for (const rid of [1, 2, 3, 4, 5]) desk.take('cam-01', sync(rid, 1))
    expect(() => desk.take('cam-01', sync(6, 1))).toThrow('4 questions of this device wait')
    await turn()
    expect(sent).toEqual([['cam-01', 1, 'piece']])
    await letGo()
    expect(sent.filter(([, , kind]) => kind === 'end').map(([, request]) => request)).toEqual([1, 2, 3, 4, 5])
  })

  test('leaves what was asked over an older connection', async () => {
    const { desk, sent, letGo, turn } = stageDesk()
    for (const rid of [1, 2, 3]) desk.take('cam-01', sync(rid, 1))
    await turn()
    desk.take('cam-01', sync(9, 2))
    await letGo()
    expect(sent).toEqual([
      ['cam-01', 1, 'piece'],
      ['cam-01', 9, 'piece'],
      ['cam-01', 9, 'end'],
    ])
  })

  test('does not let one device that is slow keep others waiting', async () => {
    const { desk, sent, turn } = stageDesk()
    desk.take('cam-01', sync(1, 1))
    desk.take('cam-02', sync(2, 1))
    await turn()
    expect(sent.map(([device]) => device)).toEqual(['cam-01', 'cam-02'])
  })

  test('has room for a whole fleet that asks at once, 64 at a time, and lets nobody stand for ever', async () => {
    const { desk, sent, letGo, turn } = stageDesk()
    const devices = Array.from({ length: 1000 }, (_, at) => `cam-${at}`)
    for (const device of devices) desk.take(device, sync(1, 1))
    await turn()
    expect(sent).toHaveLength(64)
    await letGo()
    await letGo()
    expect(sent.filter(([, , kind]) => kind === 'end').map(([device]) => device)).toEqual(devices)
  })

  test('leaves what was asked so long ago that the device has asked anew', async () => {
    const { desk, clock, sent, letGo, turn } = stageDesk()
    desk.take('cam-01', sync(1, 1))
    desk.take('cam-01', sync(2, 1))
    await turn()
    clock.advance(4_001)
    desk.take('cam-01', sync(3, 1))
    await letGo()
    expect(sent.filter(([, , kind]) => kind === 'end').map(([, request]) => request)).toEqual([1, 3])
  })
})
