import { afterAll, describe, expect, test } from 'bun:test'
import { rm, symlink, truncate } from 'node:fs/promises'
import { SharedMemory } from '../../src/runtime/shared-memory.ts'

const made: string[] = []
afterAll(async () => {
  for (const path of made) await rm(path, { force: true })
})

async function make(bytes: Uint8Array<ArrayBuffer>): Promise<{ key: string; path: string }> {
  const name = `limpet-test-${crypto.randomUUID()}`
  const path = `/dev/shm/${name}`
  made.push(path)
  await Bun.write(path, bytes)
  return { key: `/${name}`, path }
}

describe('shared memory', () => {
  test('is the same for both sides', async () => {
    const { key, path } = await make(Uint8Array.of(1, 2, 3, 4))
    const memory = new SharedMemory(key)
    expect(memory.bytes).toBe(4)
    const view = memory.view(1, 2)
    expect([...view]).toEqual([2, 3])
    view[0] = 9
    expect([...new Uint8Array(await Bun.file(path).arrayBuffer())]).toEqual([1, 9, 3, 4])
    memory.close()
  })

  test('stays while a view is held, though it is closed and its name is gone', async () => {
    const { key, path } = await make(new Uint8Array(100_000).fill(5))
    const memory = new SharedMemory(key.slice(1))
    const view = memory.view(0, 100_000)
    memory.close()
    await rm(path)
    Bun.gc(true)
    expect(view.every((byte) => byte === 5)).toBe(true)
  })

  test('gives no view beyond its end, nor after it has shrunk', async () => {
    const { key, path } = await make(new Uint8Array(10_000))
    const memory = new SharedMemory(key)
    expect(memory.view(0, 10_000).length).toBe(10_000)
    expect(() => memory.view(1, 10_000)).toThrow('it has 10000 bytes now, 10001 are needed')
    await truncate(path, 100)
    expect(() => memory.view(0, 10_000)).toThrow('it has 100 bytes now, 10000 are needed')
    await truncate(path, 20_000)
    expect(() => memory.view(0, 10_001)).toThrow('it has 10000 bytes now')
    memory.close()
  })

  test.each(['', '/', '.', '/..', '/../etc/hostname', '//x', '/a/b', `/${'x'.repeat(255)}`, 'a\0b'])(
    '%j is no key',
    (key) => {
      expect(() => new SharedMemory(key)).toThrow('its key is not a name')
    },
  )

  test('what is not there, is empty, or is a link is refused', async () => {
    expect(() => new SharedMemory('/limpet-test-nothing')).toThrow('ENOENT')
    const { key: empty } = await make(new Uint8Array(0))
    expect(() => new SharedMemory(empty)).toThrow('it is empty')
    const { key, path } = await make(Uint8Array.of(1))
    const link = `${path}-link`
    made.push(link)
    await symlink(path, link)
    expect(() => new SharedMemory(`${key}-link`)).toThrow('ELOOP')
  })
})
