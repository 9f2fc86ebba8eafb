import { describe, expect, test } from 'bun:test'
import { Journal } from '../../src/ota/journal.ts'
import { MIGRATIONS, migrate } from '../../src/ota/journal-schema.ts'
import { FlowingClock } from '../kit/flowing-clock.ts'
import { assigned, installed, memoryDatabase, Outbox } from '../kit/ota-stage.ts'

function stage(database = memoryDatabase()) {
  const outbox = new Outbox()
  const journal = new Journal({ database, clock: new FlowingClock(), outbox })
  return { database, outbox, journal }
}

test('a state and its event are one: where the event cannot be kept, the state is not reached', () => {
  const database = memoryDatabase()
  const clock = new FlowingClock()
  const full = { put: () => void expect(database.inTransaction).toBe(true) }
  const journal = new Journal({ database, clock, outbox: full })
  const update = journal.begin(assigned())
  const failing = new Journal({
    database,
    clock,
    outbox: {
      put: () => {
        throw new Error('the outbox is full')
      },
    },
  })
  expect(() => failing.write(update.id, { state: 'plan' })).toThrow('the outbox is full')
  expect(journal.find(update.id)).toEqual(update)
  expect(journal.events()).toHaveLength(1)
})

test('what is written is there for the next process', () => {
  const { database, journal } = stage()
  const update = journal.begin(assigned())
  const written = journal.write(update.id, {
    state: 'revert',
    code: 'crashed',
    reason: 'why',
    boots: 2,
    previous: installed('1'),
    quarantine: true,
  })
  journal.assign({ rev: 7, models: [assigned()], keep: ['vision/yolo@1'], envelope: 'e' })
  journal.setGood('vision/yolo', { ...installed('1'), typicalMs: 3, sinceMs: 5 })
  const next = stage(database).journal
  expect(next.working()).toEqual([written])
  expect(written).toMatchObject({ transitions: 2, boots: 2, previous: installed('1') })
  expect(next.assignment).toEqual({ rev: 7, models: [assigned()], keep: ['vision/yolo@1'], envelope: 'e' })
  expect(next.good('vision/yolo')).toMatchObject({ version: '1', typicalMs: 3 })
  expect(next.quarantined()).toMatchObject([{ manifest: update.manifest, code: 'crashed', reason: 'why' }])
  expect(next.release(update.manifest)).toBe(true)
  expect(next.release(update.manifest)).toBe(false)
})

test('events and ended updates are kept up to a bound, working updates for ever', () => {
  const { journal } = stage()
  const first = journal.begin(assigned('2', { model: 'vision/first' }))
  for (let count = 0; count < 600; count += 1) {
    journal.write(journal.begin(assigned()).id, { state: 'failed', code: 'x', reason: String(count) })
  }
  expect(journal.events()).toHaveLength(200)
  expect(journal.events()[0]).toMatchObject({ to: 'failed', reason: '599' })
  expect(journal.working().map(({ id }) => id)).toEqual([first.id])
  expect(journal.latest().map(({ model }) => model)).toEqual(['vision/first', 'vision/yolo'])
})

describe('the schema', () => {
  test('comes forward from every earlier version, in the middle of an update, step by step or at once', () => {
    const next = [
      ...MIGRATIONS,
      'ALTER TABLE ota_update ADD COLUMN colour TEXT',
      'CREATE TABLE ota_more (x INTEGER)',
    ]
    for (let from = 1; from <= next.length; from += 1) {
      const database = memoryDatabase()
      migrate(database, MIGRATIONS)
      const update = stage(database).journal.begin(assigned())
      migrate(database, next.slice(0, from))
      migrate(database, next)
      migrate(database, next)
      expect(database.prepare('SELECT version FROM ota_schema').all()).toEqual([{ version: next.length }])
      expect(database.prepare('SELECT id, state, colour FROM ota_update').all()).toEqual([
        { id: update.id, state: 'resolve', colour: null },
      ])
    }
  })

  test('goes forward whole or not at all', () => {
    const database = memoryDatabase()
    migrate(database)
    const broken = [...MIGRATIONS, 'CREATE TABLE ota_more (x INTEGER)', 'no SQL']
    expect(() => migrate(database, broken)).toThrow()
    expect(database.prepare('SELECT version FROM ota_schema').all()).toEqual([{ version: MIGRATIONS.length }])
    expect(() => database.prepare('SELECT * FROM ota_more').all()).toThrow('no such table')
  })

  test('of a newer Limpet is not touched', () => {
    const database = memoryDatabase()
    migrate(database, [...MIGRATIONS, 'CREATE TABLE ota_more (x INTEGER)'])
    expect(() => stage(database)).toThrow(
      /schema has version 2, this Limpet knows up to 1; install the newer/,
    )
  })
})
