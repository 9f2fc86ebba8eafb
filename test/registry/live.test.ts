/** Who watches the registry is told what has changed: together, each once, and never more than a browser can bear. */
import { afterAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { LiveFeed } from '../../src/registry/live.ts'
import { createFolder } from '../kit/binary.ts'
import { enrolDevice, startRegistry } from '../kit/registry.ts'
import { until } from '../kit/until.ts'
import { jsonRequest, stageRegistry } from './stage.ts'

const stage = await stageRegistry()
const folder = await createFolder()
afterAll(async () => {
  await stage.remove()
  await folder.remove()
})

describe('a listener', () => {
  test('is told of each id once, by kind, however often it has changed', async () => {
    const live = new LiveFeed()
    const listener = live.listen()
    const told = listener.next()
    for (const id of ['cam-01', 'cam-02', 'cam-01']) live.publish({ kind: 'device', id })
    live.publish({ kind: 'alert', id: 'cam-02' })
    live.flush()
    expect([...((await told) ?? [])]).toEqual([
      ['device', ['cam-01', 'cam-02']],
      ['alert', ['cam-02']],
    ])
  })

  test('is told that all have changed where more than 100 did; of 100 it is told each', async () => {
    const live = new LiveFeed()
    const listener = live.listen()
    const change = async (devices: number) => {
      for (let id = 0; id < devices; id += 1) live.publish({ kind: 'device', id: `cam-${id}` })
      const told = listener.next()
      live.flush()
      return (await told)?.get('device')
    }
    expect(await change(100)).toHaveLength(100)
    expect(await change(101)).toBeNull()
    expect(await change(10_000)).toBeNull()
    expect(await change(1)).toEqual(['cam-0'])
  })

  test('that is slow to ask loses nothing, and is told all of it at once', async () => {
    const live = new LiveFeed()
    const listener = live.listen()
    for (const id of ['a', 'b', 'c']) {
      live.publish({ kind: 'rollout', id })
      live.flush()
    }
    const told = listener.next()
    live.flush()
    expect((await told)?.get('rollout')).toEqual(['a', 'b', 'c'])
  })

  test('hears a sign of life every 20th time, when there is nothing to be told', async () => {
    const live = new LiveFeed()
    const listener = live.listen()
    let heard = 0
    const told = listener.next().then((news) => {
      heard += 1
      return news
    })
    for (let flush = 0; flush < 19; flush += 1) live.flush()
    await Promise.resolve()
    expect(heard).toBe(0)
    live.flush()
    expect((await told)?.size).toBe(0)
  })

  test('is refused when 64 listen, and finds room when one has gone', () => {
    const live = new LiveFeed()
    const [first] = Array.from({ length: 64 }, () => live.listen())
    expect(() => live.listen()).toThrow('Cannot listen: 64 do, at most 64')
    first?.close()
    expect(() => live.listen()).not.toThrow()
  })
})

describe('the stream', () => {
  test('tells of a new device, of what it says, of an assignment; and of nothing that has not changed', async () => {
    const reader = await listen(stage.as('viewer'))
    const { devices } = stage.registry
    devices.enrol('cam-01', {})
    expect(await reader.next()).toBe('data: {"kind":"device","ids":["cam-01"]}\n\n')
    const birth = { sid: 'a', seq: 2, online: true, body: {} }
    devices.keepState('cam-01', birth)
    devices.keepState('cam-01', birth)
    devices.keepEvents([{ device: 'cam-01', sid: 'a', seq: 1, body: {} }])
    expect(await reader.next()).toBe('data: {"kind":"device","ids":["cam-01"]}\n\n')
    await stage.app.request(
      '/v1/assignments/cam-01',
      jsonRequest('PUT', { models: [] }, stage.as('operator')),
    )
    expect(await reader.next()).toBe(
      'data: {"kind":"audit","ids":["1"]}\n\ndata: {"kind":"assignment","ids":["cam-01"]}\n\n',
    )
    devices.keepState('cam-01', birth)
    expect(await reader.next()).toBe(': here\n\n')
    await reader.cancel()
    expect(stage.registry.live.listeners).toBe(0)
  })

  test('ends when its key is revoked', async () => {
    const key = stage.registry.keys.create({ name: 'gone', role: 'viewer' })
    const reader = await listen({ authorization: `Bearer ${key.text}` })
    stage.registry.keys.revoke(key.id)
    stage.registry.devices.markSeen(['cam-01'])
    expect(await reader.next()).toBeUndefined()
    expect(stage.registry.live.listeners).toBe(0)
  })
})

test('from the binary it comes as it happens, and does not keep the registry from stopping', async () => {
  const registry = await startRegistry(join(folder.path, 'live'))
  try {
    const stream = await registry.ask('GET', '/v1/live')
    expect(stream.headers.get('content-type')).toBe('text/event-stream')
    let told = ''
    const read = (async () => {
      for await (const piece of stream.body ?? []) told += Buffer.from(piece).toString()
    })()
    await enrolDevice(registry, 'cam-07')
    await until('the new device is told', () => (told.includes('["cam-07"]') ? true : undefined))
    expect(await registry.stop()).toBe(0)
    await read
  } finally {
    await registry.stop('SIGKILL')
  }
})

async function listen(headers: Record<string, string>) {
  const response = await stage.app.request('/v1/live', { headers })
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const read = async () => {
    const { value } = await reader.read()
    return value === undefined ? undefined : Buffer.from(value).toString()
  }
  expect(await read()).toBe(': here\n\n')
  return {
    next: async () => {
      let isRead = false
      const answer = read().finally(() => {
        isRead = true
      })
      // The stream asks for more in a turn of its own: until it has, a flush changes nothing.
      while (!isRead) {
        stage.registry.live.flush()
        await Bun.sleep(0)
      }
      return await answer
    },
    cancel: () => reader.cancel(),
  }
}
