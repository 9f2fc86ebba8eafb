/** Which version serves: a link, flipped at once, with a way back. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir, readdir, readlink, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { openDatabase } from '../../src/kit/database.ts'
import { Pointer } from '../../src/store/pointer.ts'
import { createFolder } from '../kit/binary.ts'

const folder = await createFolder()
afterAll(folder.remove)

async function stage() {
  const models = join(folder.path, crypto.randomUUID(), 'models')
  const database = openDatabase(':memory:')
  return { models, pointer: new Pointer({ models, database }) }
}

describe('a pointer', () => {
  test('leads from the models folder to the version, and is read back', async () => {
    const { models, pointer } = await stage()
    expect(await pointer.read('yolo')).toBeUndefined()
    await pointer.flip('yolo', 'vision/yolo/1-aa')
    expect(await readlink(join(models, 'yolo'))).toBe('../store/versions/vision/yolo/1-aa')
    expect(await pointer.read('yolo')).toBe('vision/yolo/1-aa')
  })

  test('knows what it led to before, the latest first, each once, and never what it leads to now', async () => {
    const { pointer } = await stage()
    for (const place of ['1', '2', '3', '2', '2', '4']) await pointer.flip('yolo', place)
    expect(await pointer.previous('yolo')).toEqual(['2', '3', '1'])
    await pointer.flip('yolo', '2')
    expect(await pointer.previous('yolo')).toEqual(['4', '3', '1'])
    expect(await pointer.previous('another')).toEqual([])
  })

  test('that somebody else has flipped is remembered too', async () => {
    const { models, pointer } = await stage()
    await mkdir(models, { recursive: true })
    await symlink('../store/versions/by-hand', join(models, 'yolo'))
    await pointer.flip('yolo', 'new')
    expect(await pointer.previous('yolo')).toEqual(['by-hand'])
  })

  test('remembers no more than 16', async () => {
    const { pointer } = await stage()
    for (let version = 0; version < 40; version++) await pointer.flip('yolo', `v${version}`)
    expect(await pointer.previous('yolo')).toEqual(Array.from({ length: 15 }, (_, index) => `v${38 - index}`))
  })

  test('is removed, and what it led to is then what was before', async () => {
    const { models, pointer } = await stage()
    await pointer.flip('yolo', '1')
    await pointer.remove('yolo')
    await pointer.remove('yolo')
    expect(await readdir(models)).toEqual([])
    expect(await pointer.previous('yolo')).toEqual(['1'])
  })

  test('is not read where the folder is somebody else’s, and does not replace it', async () => {
    const { models, pointer } = await stage()
    await mkdir(join(models, 'mine/1'), { recursive: true })
    await symlink('/somewhere', join(models, 'link'))
    expect([await pointer.read('mine'), await pointer.read('link')]).toEqual([undefined, undefined])
    await expect(pointer.flip('mine', '1')).rejects.toThrow(
      'is a folder, expected nothing or a link; move it away',
    )
    expect((await readdir(models)).sort()).toEqual(['link', 'mine'])
  })

  test.each(['../yolo', 'vision/yolo', '', '.', '.hidden'])('has no name like "%s"', async (name) => {
    const { pointer } = await stage()
    await expect(pointer.flip(name, '1')).rejects.toThrow("not a model's name")
  })
})
