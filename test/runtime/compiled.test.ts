/** Engines that a provider compiles: built once, one at a time, and kept with what was written later. No library is needed. */
import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EngineCache } from '../../src/engines/cache.ts'
import { ModelDigests } from '../../src/engines/model-digest.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import type { Attempt } from '../../src/runtime/attempt.ts'
import { BuildTurns } from '../../src/runtime/build-turns.ts'
import { Compiled } from '../../src/runtime/compiled.ts'
import { withEngineFolder, withEngineOptions, withoutEngineFolder } from '../../src/runtime/engine-options.ts'
import { createFolder } from '../kit/binary.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { SESSION_OPTIONS } from '../kit/session-options.ts'

setLogLevel('silent')
const folder = await createFolder()
afterAll(() => folder.remove())

let home: string
let model: string
let count = 0
beforeEach(async () => {
  count += 1
  home = join(folder.path, `cache-${count}`)
  model = join(folder.path, `model-${count}`, 'model.onnx')
  await Bun.write(model, `model ${count}`)
})

/** As after a restart: what it knows is on the disk. */
async function start(changes: { board?: Record<string, string>; library?: string } = {}) {
  const clock = new FakeClock()
  const cache = await EngineCache.open({
    folder: home,
    bytesMax: 2 ** 20,
    isKeeper: true,
    clock,
    freeBytes: async () => 2 ** 40,
  })
  const compiled = new Compiled({
    cache,
    runtime: { version: '1' },
    board: changes.board ?? { gpus: 'one' },
    digests: new ModelDigests(),
    turns: new BuildTurns(),
    libraryOf: async () => changes.library ?? '',
  })
  return { cache, compiled }
}

const attemptOf = (changes: Partial<Attempt> = {}): Attempt => ({
  source: { path: model },
  options: SESSION_OPTIONS,
  providers: [{ name: 'fake', options: { folder: '{engine_cache}' } }],
  ...changes,
})

const folderIn = ({ providers }: Attempt) => providers[0]?.options['folder'] ?? ''

/** A provider that reads its engine, or writes one; tells which. */
function provider() {
  const did: string[] = []
  const create = async (attempt: Attempt) => {
    const path = join(folderIn(attempt), 'one.engine')
    const there = await readFile(path, 'utf8').catch(() => undefined)
    did.push(there === undefined ? `built${attempt.isBuild ? '' : ' in the way of others'}` : `read ${there}`)
    if (there === undefined) await writeFile(path, 'engine')
    await writeFile(join(folderIn(attempt), 'all.timing'), 'timing')
    return 1
  }
  return { did, create }
}

describe('an engine', () => {
  test('is built once, and read from then on', async () => {
    const { did, create } = provider()
    for (let start_ = 0; start_ < 3; start_ += 1) {
      const { compiled } = await start()
      const opened = await compiled.open(attemptOf(), create)
      opened?.onClosed()
      await compiled.settle()
    }
    expect(did).toEqual(['built', 'read engine', 'read engine'])
    expect((await readdir(home)).filter((name) => name.startsWith('.'))).toEqual([])
  })

  test('is not read by another board, library, model, or with other options', async () => {
    const { did, create } = provider()
    const build = async (changes: Parameters<typeof start>[0], attempt = attemptOf()) => {
      const { compiled } = await start(changes)
      const opened = await compiled.open(attempt, create)
      opened?.onClosed()
      await compiled.settle()
    }
    await build({})
    await build({ board: { gpus: 'two' } })
    await build({ library: '2' })
    const options = { folder: '{engine_cache}', precision: 'FP16' }
    await build({}, attemptOf({ providers: [{ name: 'fake', options }] }))
    await writeFile(model, 'another model')
    await build({})
    expect(did).toEqual(['built', 'built', 'built', 'built', 'built'])
  })

  test('that is grown later is kept as it has become', async () => {
    const { create } = provider()
    const first = await start()
    let mine = ''
    const opened = await first.compiled.open(attemptOf(), (attempt) => {
      mine = folderIn(attempt)
      return create(attempt)
    })
    await first.compiled.settle()
    await writeFile(join(mine, 'two.engine'), 'for longer inputs')
    opened?.onClosed()
    await first.compiled.settle()
    const { compiled } = await start()
    let seen: string[] = []
    const again = await compiled.open(attemptOf(), async (attempt) => {
      seen = (await readdir(folderIn(attempt))).sort()
      return 1
    })
    again?.onClosed()
    await compiled.settle()
    expect(seen).toEqual(['all.timing', 'one.engine', 'two.engine'])
  })

  test('that the provider does not take is built anew', async () => {
    const { did, create } = provider()
    const first = await start()
    ;(await first.compiled.open(attemptOf(), create))?.onClosed()
    await first.compiled.settle()
    const { compiled, cache } = await start()
    let tries = 0
    const opened = await compiled.open(attemptOf(), async (attempt) => {
      tries += 1
      if (tries === 1) throw new Error('engine of another plan')
      return await create(attempt)
    })
    opened?.onClosed()
    await compiled.settle()
    expect(did).toEqual(['built', 'built'])
    expect(cache.counts).toMatchObject({ invalid: 1, misses: 1, kept: 1 })
  })

  test('stays where the provider takes none at all', async () => {
    const { did, create } = provider()
    const first = await start()
    ;(await first.compiled.open(attemptOf(), create))?.onClosed()
    await first.compiled.settle()
    const { compiled } = await start()
    const busy = () => Promise.reject(new Error('busy'))
    await expect(compiled.open(attemptOf(), busy)).rejects.toThrow('busy')
    ;(await compiled.open(attemptOf(), create))?.onClosed()
    await compiled.settle()
    expect(did).toEqual(['built', 'read engine'])
  })

  test('with a turned bit is never given to the provider', async () => {
    const { did, create } = provider()
    const first = await start()
    ;(await first.compiled.open(attemptOf(), create))?.onClosed()
    await first.compiled.settle()
    const [key = ''] = await readdir(home)
    await writeFile(join(home, key, 'one.engine'), 'emgine')
    const { compiled, cache } = await start()
    ;(await compiled.open(attemptOf(), create))?.onClosed()
    await compiled.settle()
    expect(did).toEqual(['built', 'built'])
    expect(cache.counts.invalid).toBe(1)
  })

  test('that cannot be built leaves nothing behind', async () => {
    const { compiled } = await start()
    const refuse = () => Promise.reject(new Error('no device'))
    await expect(compiled.open(attemptOf(), refuse)).rejects.toThrow('no device')
    expect(await readdir(home)).toEqual([])
  })

  test('begins with what another one of this board has measured', async () => {
    const { create } = provider()
    const first = await start()
    ;(await first.compiled.open(attemptOf(), create))?.onClosed()
    await first.compiled.settle()
    await writeFile(model, 'another model')
    const { compiled } = await start()
    let seen: string[] = []
    const opened = await compiled.open(attemptOf(), async (attempt) => {
      seen = await readdir(folderIn(attempt))
      return 1
    })
    opened?.onClosed()
    await compiled.settle()
    expect(seen).toEqual(['all.timing'])
  })

  test('that would have to be built is not waited for by a load that only takes what is found', async () => {
    const { compiled } = await start()
    const { create } = provider()
    const options = { ...SESSION_OPTIONS, engineCache: 'found' } as const
    expect(await compiled.wouldBuild(attemptOf())).toBe(true)
    await expect(compiled.open(attemptOf({ options }), create)).rejects.toThrow('its engine is not built yet')
    ;(await compiled.open(attemptOf(), create))?.onClosed()
    await compiled.settle()
    expect(await compiled.wouldBuild(attemptOf())).toBe(false)
    expect(await compiled.open(attemptOf({ options }), create)).toBeDefined()
  })
})

test('of several that are built at once each says which of how many it is', async () => {
  const turns = new BuildTurns()
  const said: string[] = []
  const ends: (() => void)[] = []
  const build = (name: string) =>
    turns.take(
      (what) => said.push(`${name}: ${what}`),
      () => new Promise<void>((resolve) => ends.push(resolve)),
    )
  const one = build('a')
  await Promise.resolve()
  const two = build('b')
  ends[0]?.()
  await one
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve()
  ends[1]?.()
  await two
  await Promise.resolve()
  const three = build('c')
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve()
  ends[2]?.()
  await three
  expect(said).toEqual([
    'a: waiting to build engine 1/1',
    'a: building engine 1/1',
    'a: building engine 1/2',
    'b: waiting to build engine 2/2',
    'b: building engine 2/2',
    'c: waiting to build engine 1/1',
    'c: building engine 1/1',
  ])
})

describe('a provider', () => {
  const tensorrt = { name: 'tensorrt', options: { trt_fp16_enable: '1' } }

  test('that is known to keep engines is told where, unless it was told something else', () => {
    const asking = withEngineOptions(tensorrt, 'TensorrtExecutionProvider')
    expect(withEngineFolder(asking, '/here').options).toEqual({
      trt_engine_cache_enable: '1',
      trt_engine_cache_path: '/here',
      trt_timing_cache_enable: '1',
      trt_timing_cache_path: '/here',
      trt_fp16_enable: '1',
    })
    const off = { ...tensorrt, options: { trt_engine_cache_enable: '0' } }
    expect(withEngineOptions(off, 'TensorrtExecutionProvider').options['trt_engine_cache_enable']).toBe('0')
  })

  test('is told nothing of it where nothing is kept', () => {
    const asking = withEngineOptions(tensorrt, 'TensorrtExecutionProvider')
    expect(withoutEngineFolder(asking, 'TensorrtExecutionProvider')).toEqual(tensorrt)
    const plugin = { name: 'fake', options: { folder: '{engine_cache}/deep', level: '3' } }
    expect(withoutEngineFolder(plugin, 'FakeExecutionProvider').options).toEqual({ level: '3' })
    expect(withoutEngineFolder(tensorrt, 'TensorrtExecutionProvider')).toEqual(tensorrt)
  })
})
