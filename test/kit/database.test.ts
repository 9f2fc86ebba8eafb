/** Statements are prepared once: whoever asks with the same words shares one, and never sees it. */
import { describe, expect, test } from 'bun:test'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { damageOf, openDatabase, openSnapshot, transact } from '../../src/kit/database.ts'

function openFacts() {
  const database = openDatabase(':memory:')
  database.exec("CREATE TABLE fact (what TEXT); INSERT INTO fact VALUES ('one')")
  return database
}

describe('a statement of a database', () => {
  test('is prepared once for one text, whoever asks', () => {
    const database = openFacts()
    expect(database.prepare('SELECT * FROM fact')).toBe(database.prepare('SELECT * FROM fact'))
    expect(database.prepare('SELECT 1')).not.toBe(database.prepare('SELECT 2'))
  })

  test('sees a column that was added since', () => {
    const database = openFacts()
    const all = () => database.prepare('SELECT * FROM fact').all()
    expect(all()).toEqual([{ what: 'one' }])
    database.exec("ALTER TABLE fact ADD COLUMN why TEXT DEFAULT 'because'")
    expect(all()).toEqual([{ what: 'one', why: 'because' }])
  })

  test('may be used again within the work that its own rows are for', () => {
    const database = openFacts()
    const ask = (what: string) => database.prepare('SELECT what FROM fact WHERE what = ?').all(what)
    const rows = ask('one').map(() => ask('one'))
    expect(rows).toEqual([[{ what: 'one' }]])
  })

  test('works after it has failed, and after its transaction was taken back', () => {
    const database = openFacts()
    database.exec('CREATE UNIQUE INDEX one_of_each ON fact (what)')
    const write = (what: string) => database.prepare('INSERT INTO fact VALUES (?)').run(what).changes
    expect(() => transact(database, () => write('two') + write('one'))).toThrow('UNIQUE')
    expect(write('two')).toBe(1)
  })

  test('is right however many other texts there were', () => {
    const database = openFacts()
    const early = database.prepare('SELECT what FROM fact')
    for (let number = 0; number < 1500; number += 1)
      expect(database.prepare(`SELECT ${number} AS number`).get()).toEqual({ number })
    expect(early.get()).toEqual({ what: 'one' })
    expect(database.prepare('SELECT what FROM fact').get()).toEqual({ what: 'one' })
  })
})

describe('a copy in memory of what a file holds', () => {
  test('is read without a file beside it, log or no log', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'limpet-database-')), 'facts.sqlite')
    const database = openDatabase(path)
    database.exec("CREATE TABLE fact (what TEXT); INSERT INTO fact VALUES ('one')")
    database.close()
    const copy = openSnapshot(await readFile(path))
    expect(copy.prepare('SELECT what FROM fact').all()).toEqual([{ what: 'one' }])
    expect(await readdir(dirname(path))).toEqual(['facts.sqlite'])
    await rm(dirname(path), { recursive: true })
  })

  test('of an empty file has no table; of what is no database, that is said', () => {
    const tables = openSnapshot(new Uint8Array(0)).prepare('SELECT name FROM sqlite_schema').all()
    expect(tables).toEqual([])
    expect(damageOf(openSnapshot(Buffer.from('garbage'.repeat(999))))).toContain('not a database')
  })
})
