/** What is written durably outlives a kill at any moment, and a power cut. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openDatabase, transact } from '../../src/kit/database.ts'
import {
  makeFolderDurably,
  moveFolderDurably,
  pointDurably,
  removeFolderDurably,
  sweepDrafts,
} from '../../src/kit/durable-file.ts'
import { createFolder } from './binary.ts'
import { killAtEach } from './crashing.ts'
import { SmallDisk } from './small-disk.ts'

const folder = await createFolder()
const disk = await SmallDisk.create(join(folder.path, 'small-disk'), 32)
afterAll(async () => {
  await disk?.remove()
  await folder.remove()
})
if (disk === undefined) console.log('Skipped: power cuts, because this user cannot mount')

const STEPS = ['bun', import.meta.resolve('./durable-steps.ts').replace('file://', '')]
/** Each step of `durable-steps.ts`, by what it leaves when it is done. */
const POINTS = [
  'file.written file.placed', // a version moved into its place
  'file.written file.placed', // the link
  'file.written file.placed', // the note
  'database.written database.committed',
]
  .join(' ')
  .split(' ')
const ALL_POINTS = [...POINTS, ...POINTS, 'file.written', 'file.placed']

async function emptyFolder(name: string): Promise<string> {
  const path = join(folder.path, name)
  await mkdir(path)
  return path
}

const linkOf = (home: string) => readlink(join(home, 'current')).catch(() => undefined)
const noteOf = (home: string) => readFile(join(home, 'note'), 'utf8').catch(() => undefined)

function factsOf(home: string): string[] {
  const database = openDatabase(join(home, 'facts.sqlite'))
  const isMade = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'fact'").get() !== undefined
  const rows = isMade ? database.prepare('SELECT version || part AS fact FROM fact ORDER BY rowid').all() : []
  database.close()
  return rows.map((row) => (row as { fact: string }).fact)
}

/** How far the process came, as each step would have it; each must agree with the number of points it passed. */
async function expectReached(home: string, passed: number): Promise<void> {
  const done = (point: number) => passed > point
  const among = <T>(one: number, two: number, none: T) => (done(two) ? 'two' : done(one) ? 'one' : none)
  expect(await linkOf(home)).toBe(among(2, 10, undefined))
  expect(await noteOf(home)).toBe(among(4, 12, undefined))
  const facts = { none: [], one: ['one1', 'one2'], two: ['one1', 'one2', 'two1', 'two2'] }
  expect(factsOf(home)).toEqual(facts[among(6, 14, 'none')])
  for (const [version, moved] of [
    ['one', 0],
    ['two', 8],
  ] as const) {
    const file = await readFile(join(home, version, 'inside/file'), 'utf8').catch(() => undefined)
    const isThere = done(moved) && !(version === 'one' && done(16))
    expect(file === version.repeat(10_000)).toBe(isThere)
    expect(file === undefined).toBe(!isThere)
  }
}

test('a process killed at each durable write leaves each thing old or new, never between', async () => {
  const home = join(folder.path, 'killed')
  const points = await killAtEach({
    command: [...STEPS, home],
    folder: folder.path,
    prepare: async () => {
      await rm(home, { recursive: true, force: true })
      await mkdir(home)
    },
    // Killed at point n, everything before it has been done: a rename is done between its two points.
    check: async ({ number }) => await expectReached(home, number - 1),
  })
  expect(points).toEqual(ALL_POINTS)
}, 120_000)

describe.skipIf(disk === undefined)('with the power cut', () => {
  const path = disk?.path ?? ''

  test('what was only written is lost: the disk of these tests is one that forgets', async () => {
    await writeFile(join(path, 'unsynced'), 'some text')
    await disk?.cutPower()
    expect(await readdir(path)).not.toContain('unsynced')
  })

  test('at each durable write, what was reported done is there, whole', async () => {
    const home = join(path, 'cut')
    const points = await killAtEach({
      command: [...STEPS, home],
      folder: folder.path,
      prepare: async () => {
        await rm(home, { recursive: true, force: true })
        await makeFolderDurably(home)
      },
      check: async ({ number }) => {
        await disk?.cutPower()
        // A rename whose folder is not synced yet may be lost, so at a thing's second point only is it certain.
        await expectReached(home, number - 1)
      },
    })
    expect(points).toEqual(ALL_POINTS)
  }, 240_000)
})

describe('a link', () => {
  test('leads elsewhere, and nothing is left beside it', async () => {
    const home = await emptyFolder('link')
    await pointDurably(join(home, 'current'), 'one')
    await pointDurably(join(home, 'current'), '../two')
    expect(await readlink(join(home, 'current'))).toBe('../two')
    expect(await readdir(home)).toEqual(['current'])
  })

  test('does not take the place of a folder', async () => {
    const home = await emptyFolder('link-folder')
    await mkdir(join(home, 'current/inside'), { recursive: true })
    await expect(pointDurably(join(home, 'current'), 'one')).rejects.toThrow('EISDIR')
    expect(await readdir(home)).toEqual(['current'])
  })
})

describe('a folder', () => {
  test('is not moved over one that holds something', async () => {
    const home = await emptyFolder('move')
    await mkdir(join(home, 'from'))
    await mkdir(join(home, 'to/inside'), { recursive: true })
    await expect(moveFolderDurably(join(home, 'from'), join(home, 'to'))).rejects.toThrow('ENOTEMPTY')
    expect((await readdir(home)).sort()).toEqual(['from', 'to'])
  })

  test('is removed whole, a link to it is left', async () => {
    const home = await emptyFolder('remove')
    await mkdir(join(home, 'version/inside'), { recursive: true })
    await symlink('version', join(home, 'current'))
    await removeFolderDurably(join(home, 'version'))
    expect(await readdir(home)).toEqual(['current'])
  })

  test('is made with all those above it, and may be there already', async () => {
    const home = await emptyFolder('make')
    await makeFolderDurably(join(home, 'a/b/c'))
    await makeFolderDurably(join(home, 'a/b'))
    expect((await readdir(home, { recursive: true })).sort()).toEqual(['a', 'a/b', 'a/b/c'])
  })

  test('is swept of drafts, files and folders, and of nothing else', async () => {
    const home = await emptyFolder('sweep')
    await mkdir(join(home, '.version.1.draft/inside'), { recursive: true })
    await writeFile(join(home, '.file.2.draft'), 'half')
    await writeFile(join(home, 'draft'), 'whole')
    await sweepDrafts(home)
    expect(await readdir(home)).toEqual(['draft'])
  })
})

describe('a transaction', () => {
  function openFacts() {
    const database = openDatabase(':memory:')
    database.exec('CREATE TABLE fact (what TEXT)')
    const write = (what: string) => database.prepare('INSERT INTO fact VALUES (?)').run(what)
    const facts = () =>
      database
        .prepare<[], { what: string }>('SELECT what FROM fact')
        .all()
        .map(({ what }) => what)
    return { database, write, facts }
  }

  test('that fails has written nothing', () => {
    const { database, write, facts } = openFacts()
    expect(() =>
      transact(database, () => {
        write('one')
        throw new Error('half way')
      }),
    ).toThrow('half way')
    expect(facts()).toEqual([])
  })

  test('within another is undone alone when the outer one goes on', () => {
    const { database, write, facts } = openFacts()
    const given = transact(database, () => {
      write('outer')
      expect(() =>
        transact(database, () => {
          write('inner')
          throw new Error('half way')
        }),
      ).toThrow('half way')
      return transact(database, () => write('second').changes)
    })
    expect(given).toBe(1)
    expect(facts()).toEqual(['outer', 'second'])
  })
})
