/** What the dynamic linker would find, by its own rules: in a made world, and held against `ldd` in this one. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { findClosure, findNamed, type LinkerWorld } from '../../../src/runtime/linker/closure.ts'
import { readElf } from '../../../src/runtime/linker/elf.ts'
import { machineLinker } from '../../../src/runtime/linker/machine-linker.ts'
import { createFolder } from '../../kit/binary.ts'
import { type ElfWish, makeElf } from '../../kit/elf-maker.ts'

type Files = Readonly<Record<string, ElfWish | string>>

/** A text is a file that is no library, and what is wrong with it. */
function makeWorld(files: Files, more: Partial<LinkerWorld> = {}): LinkerWorld {
  return {
    read: (path) => {
      const file = files[path]
      if (file === undefined || typeof file === 'string') return file
      const bytes = makeElf(file)
      return readElf((offset, length) => bytes.subarray(offset, offset + length))
    },
    libraryPath: [],
    cache: new Map(),
    defaultFolders: ['/lib'],
    lib: 'lib64',
    platform: 'x86_64',
    ...more,
  }
}

const found = (path: string, world: LinkerWorld) => {
  const closure = findClosure(path, world)
  return typeof closure === 'string' ? closure : closure.found.map((one) => one.path)
}

describe('a library is looked for', () => {
  const one = { needed: ['libx.so'] }
  const everywhere = {
    '/rpath/libx.so': {},
    '/env/libx.so': {},
    '/run/libx.so': {},
    '/cache/libx.so': {},
    '/lib/libx.so': {},
  }
  const machine = { libraryPath: ['/env'], cache: new Map([['libx.so', ['/cache/libx.so']]]) }
  test.each<[rule: string, files: Files, more: Partial<LinkerWorld>, at: string]>([
    [
      'by DT_RPATH before anything else',
      { '/a/one.so': { ...one, rpath: '/rpath' }, ...everywhere },
      machine,
      '/rpath/libx.so',
    ],
    [
      'not by DT_RPATH where there is a DT_RUNPATH',
      { '/a/one.so': { ...one, rpath: '/rpath', runpath: '/run' }, ...everywhere },
      machine,
      '/env/libx.so',
    ],
    [
      'by DT_RUNPATH before the cache',
      { '/a/one.so': { ...one, runpath: '/run' }, ...everywhere },
      { ...machine, libraryPath: [] },
      '/run/libx.so',
    ],
    [
      'by the cache before the default folders',
      { '/a/one.so': one, ...everywhere },
      { ...machine, libraryPath: [] },
      '/cache/libx.so',
    ],
    ['in the default folders at last', { '/a/one.so': one, ...everywhere }, {}, '/lib/libx.so'],
    [
      'beside its own file by $ORIGIN',
      { '/a/one.so': { ...one, runpath: '$ORIGIN' }, '/a/libx.so': {} },
      {},
      '/a/libx.so',
    ],
    [
      'by $LIB and $PLATFORM',
      {
        '/a/one.so': { ...one, runpath: '/q/$LIB/$PLATFORM' },
        '/q/lib64/x86_64/libx.so': {},
      },
      {},
      '/q/lib64/x86_64/libx.so',
    ],
    [
      'and passed over where it is for another machine',
      { '/a/one.so': { ...one, runpath: '/run' }, '/run/libx.so': { machine: 'arm64' }, '/lib/libx.so': {} },
      {},
      '/lib/libx.so',
    ],
  ])('%s', (_, files, more, at) => {
    expect(found('/a/one.so', makeWorld(files, more))).toEqual(['/a/one.so', at])
  })

  test('by a path where its name is one', () => {
    const files = { '/a/one.so': { needed: ['/odd/x.so'] }, '/odd/x.so': {} }
    expect(found('/a/one.so', makeWorld(files))).toEqual(['/a/one.so', '/odd/x.so'])
  })

  test('by the DT_RPATH of whoever has loaded what needs it, and not by a DT_RUNPATH of theirs', () => {
    const below = { '/r/libx.so': { needed: ['liby.so'] }, '/r/liby.so': {} }
    expect(found('/a/one.so', makeWorld({ '/a/one.so': { ...one, rpath: '/r' }, ...below }))).toContain(
      '/r/liby.so',
    )
    const closure = findClosure('/a/one.so', makeWorld({ '/a/one.so': { ...one, runpath: '/r' }, ...below }))
    expect(closure).toMatchObject({ missing: [{ name: 'liby.so', by: '/r/libx.so', unfit: [] }] })
  })

  test('once, also where two need each other', () => {
    const files = {
      '/lib/libx.so': { soname: 'libx.so', needed: ['liby.so'] },
      '/lib/liby.so': { needed: ['libx.so'] },
    }
    expect(found('/lib/libx.so', makeWorld(files))).toEqual(['/lib/libx.so', '/lib/liby.so'])
  })
})

describe('what is missing', () => {
  test('is told with who needs it and what lies there instead', () => {
    const world = makeWorld({
      '/a/one.so': { needed: ['libx.so', 'libz.so'] },
      '/lib/libx.so': { needed: ['liby.so'] },
      '/lib/liby.so': 'is empty',
    })
    expect(findClosure('/a/one.so', world)).toMatchObject({
      missing: [
        { name: 'libz.so', by: '/a/one.so', unfit: [] },
        { name: 'liby.so', by: '/lib/libx.so', unfit: ['"/lib/liby.so" is empty'] },
      ],
    })
  })

  test('may be a version of its symbols, and told is the newest that there is', () => {
    const libc = { soname: 'libc.so.6', versionsDefined: ['GLIBC_2.4', 'GLIBC_2.36', 'GLIBC_PRIVATE'] }
    const wants = (version: string, isWeak = false) => ({
      needed: ['libc.so.6'],
      versionsNeeded: [{ file: 'libc.so.6', versions: [version], isWeak }],
    })
    const missing = (wish: ElfWish, giver: ElfWish = libc) => {
      const closure = findClosure('/a/one.so', makeWorld({ '/a/one.so': wish, '/lib/libc.so.6': giver }))
      return typeof closure === 'string' ? closure : closure.versionsMissing
    }
    const told = {
      version: 'GLIBC_2.38',
      by: '/a/one.so',
      name: 'libc.so.6',
      path: '/lib/libc.so.6',
      newest: 'GLIBC_2.36',
    }
    expect(missing(wants('GLIBC_2.38'))).toEqual([told])
    expect(missing(wants('GLIBC_2.36'))).toEqual([])
    expect(missing(wants('GLIBC_2.38', true))).toEqual([])
    expect(missing(wants('GLIBC_2.38'), {})).toEqual([])
  })

  test('is the library itself where it is not there or is none', () => {
    expect(findClosure('/a/one.so', makeWorld({}))).toBe('is not there')
    expect(findClosure('/a/one.so', makeWorld({ '/a/one.so': 'is empty' }))).toBe('is empty')
  })

  test('and what is opened by name later is found by the same rules', () => {
    const world = makeWorld({ '/a/one.so': { runpath: '$ORIGIN/more' }, '/a/more/libcudnn.so.9': {} })
    expect(findNamed('libcudnn.so.9', { by: '/a/one.so', world })).toBe('/a/more/libcudnn.so.9')
    expect(findNamed('libcudnn.so.8', { by: '/a/one.so', world })).toBeUndefined()
  })
})

const isReal = ['gcc', 'ldd'].every((name) => Bun.which(name) !== null)
if (!isReal) console.warn('The linker is not held against ldd: there is no gcc or no ldd')

describe.skipIf(!isReal)('on this machine', async () => {
  const folder = await createFolder()
  const here = (name: string) => join(folder.path, name)
  afterAll(folder.remove)

  const build = async (path: string, source: string, ...flags: string[]) => {
    const gcc = Bun.spawn(
      ['gcc', '-shared', '-fPIC', '-o', here(path), '-x', 'c', '-', '-x', 'none', ...flags],
      {
        stdin: Buffer.from(source),
        stderr: 'inherit',
      },
    )
    expect(await gcc.exited).toBe(0)
  }
  const ldd = async (path: string) => {
    const child = Bun.spawn(['ldd', here(path)], {
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
      stderr: 'ignore',
    })
    return await new Response(child.stdout).text()
  }

  test('all is found and missed that ldd finds and misses', async () => {
    for (const name of ['lib', 'gone', 'links']) await mkdir(here(name))
    await build(
      'lib/libtwo.so.1',
      'int two(void) { return 2; }',
      '-Wl,-soname,libtwo.so.1',
      '-lm',
      '-Wl,--no-as-needed',
    )
    await build('gone/libthree.so.1', 'int three(void) { return 3; }', '-Wl,-soname,libthree.so.1')
    const linked = [
      '-Wl,--no-as-needed',
      here('lib/libtwo.so.1'),
      here('gone/libthree.so.1'),
      '-lm',
      '-lpthread',
    ]
    await build(
      'one.so',
      'int one(void) { return 1; }',
      ...linked,
      '-Wl,-rpath,$ORIGIN/lib',
      '-Wl,--enable-new-dtags',
    )
    await Bun.file(here('gone/libthree.so.1')).delete()
    const closure = findClosure(here('one.so'), machineLinker({ libraryPath: undefined }))
    if (typeof closure === 'string') throw new Error(closure)
    const said = await ldd('one.so')
    expect(closure.missing.map(({ name }) => name)).toEqual(['libthree.so.1'])
    expect(said).toContain('libthree.so.1 => not found')
    expect(closure.found).toContainEqual({ name: 'libtwo.so.1', path: `${here('lib')}/libtwo.so.1` })
    for (const { name, path } of closure.found.slice(1)) {
      if (!name.startsWith('ld-linux')) expect(said).toContain(`${name} => ${path} (`)
    }
    expect(closure.versionsMissing).toEqual([])
    // Of a link $ORIGIN is the folder that the link is in: it leads nowhere here.
    await symlink(here('one.so'), here('links/one.so'))
    expect(await ldd('links/one.so')).toContain('libtwo.so.1 => not found')
    expect(findClosure(here('links/one.so'), machineLinker({ libraryPath: undefined }))).toMatchObject({
      missing: [{ name: 'libtwo.so.1' }, { name: 'libthree.so.1' }],
    })
  })

  test('a version that the library at hand does not have is missed as the linker misses it', async () => {
    const script = (version: string) => `${version} { global: given; local: *; };`
    const give = async (version: string) => {
      await Bun.write(here('versions.map'), script(version))
      await build(
        'libgiver.so',
        'int given(void) { return 1; }',
        '-Wl,-soname,libgiver.so',
        `-Wl,--version-script=${here('versions.map')}`,
      )
    }
    await give('GIVER_2.0')
    await build(
      'taker.so',
      'int given(void); int taken(void) { return given(); }',
      here('libgiver.so'),
      '-Wl,-rpath,$ORIGIN',
    )
    await give('GIVER_1.0')
    const closure = findClosure(here('taker.so'), machineLinker({ libraryPath: undefined }))
    const path = here('libgiver.so')
    expect(closure).toMatchObject({
      versionsMissing: [
        { version: 'GIVER_2.0', by: here('taker.so'), name: 'libgiver.so', path, newest: 'GIVER_1.0' },
      ],
    })
  })

  test('a pipe is no library, and nobody waits for it', () => {
    Bun.spawnSync(['mkfifo', here('pipe.so')])
    expect(findClosure(here('pipe.so'), machineLinker({ libraryPath: undefined }))).toBe('is no file')
    expect(findClosure(here('nowhere.so'), machineLinker({ libraryPath: undefined }))).toBe('is not there')
  })
})
