import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { decideChanges, type Looks, lookAtModels, type Watched } from '../../src/store/model-changes.ts'
import { createFolder } from '../kit/binary.ts'
import { SEED } from '../kit/seed.ts'

const looks = (of: Record<string, string>): Looks => new Map(Object.entries(of))
const both = (of: Record<string, string>): Watched => ({ seen: looks(of), loaded: looks(of) })

describe('a folder', () => {
  test('that stays as it is is left alone', () => {
    expect(decideChanges(both({ a: '1' }), looks({ a: '1' }))).toMatchObject({ load: [], unload: [] })
  })

  test('that changes is loaded once it has looked the same twice', () => {
    const first = decideChanges(both({ a: '1' }), looks({ a: 'half' }))
    expect(first.load).toEqual([])
    const second = decideChanges(first.watched, looks({ a: 'whole' }))
    expect(second.load).toEqual([])
    const third = decideChanges(second.watched, looks({ a: 'whole' }))
    expect(third.load).toEqual(['a'])
    expect(decideChanges(third.watched, looks({ a: 'whole' })).load).toEqual([])
  })

  test('that comes is loaded, and one that goes is unloaded at once', () => {
    const come = decideChanges(both({}), looks({ b: '1' }))
    expect(decideChanges(come.watched, looks({ b: '1' }))).toMatchObject({ load: ['b'], unload: [] })
    expect(decideChanges(both({ a: '1', b: '2' }), looks({ b: '2' }))).toMatchObject({
      load: [],
      unload: ['a'],
    })
  })
})

test('whatever happens to the folders, two quiet looks later what is loaded is what is there', () => {
  const state = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2', '3'))
  fc.assert(
    fc.property(fc.array(state, { minLength: 1, maxLength: 20 }), (states) => {
      let watched = both({})
      const last = states.at(-1) ?? {}
      for (const now of [...states, last, last]) watched = decideChanges(watched, looks(now)).watched
      expect(Object.fromEntries(watched.loaded)).toEqual({ ...last })
      expect(decideChanges(watched, looks(last))).toMatchObject({ load: [], unload: [] })
    }),
    { seed: SEED, numRuns: 500 },
  )
})

describe('looking', () => {
  test('sees a file that comes, grows, or is replaced, and nothing where nothing has changed', async () => {
    const folder = await createFolder()
    afterAll(() => folder.remove())
    const file = join(folder.path, 'm/1/model.onnx')
    await mkdir(join(folder.path, 'm/1'), { recursive: true })
    const seen = new Set<string | undefined>()
    const look = async () => {
      const now = (await lookAtModels(folder.path)).get('m')
      expect((await lookAtModels(folder.path)).get('m')).toBe(now as string)
      seen.add(now)
    }
    await look()
    await writeFile(file, 'a')
    await look()
    await writeFile(file, 'ab')
    await look()
    await rm(file)
    await writeFile(file, 'cd')
    await look()
    expect(seen.size).toBe(4)
  })
})
