/** What a device may do at the broker inside the registry, shown with clients that do not hold to the rules. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { connect, type Socket } from 'node:net'
import fc from 'fast-check'
import { type Line, openLine } from '../../src/link/line.ts'
import { Topics } from '../../src/link/topics.ts'
import { EmbeddedBroker } from '../../src/registry/broker.ts'
import { BrokerRules } from '../../src/registry/broker-rules.ts'
import { PacketLengths } from '../../src/registry/packet-guard.ts'
import { eventually } from '../kit/device-link.ts'
import { SEED } from '../kit/seed.ts'

const topics = new Topics('limpet/v1')
const heard: [topic: string, text: string][] = []
let broker: EmbeddedBroker
const lines: Line[] = []

beforeAll(async () => {
  broker = await EmbeddedBroker.start({
    hostname: '127.0.0.1',
    port: 0,
    topics,
    tls: undefined,
    isSecretOf: (device, secret) => secret === `secret of ${device}`,
    take: (topic, payload) => heard.push([topic, Buffer.from(payload).toString()]),
  })
})
afterEach(async () => {
  await Promise.all(lines.splice(0).map((line) => line.close()))
  heard.length = 0
})
afterAll(() => broker.close())

async function come(
  device: string,
  as: { clientId?: string; password?: string; will?: string } = {},
): Promise<Line> {
  const line = await openLine(
    {
      url: `mqtt://127.0.0.1:${broker.port}`,
      clientId: as.clientId ?? device,
      username: device,
      password: as.password ?? `secret of ${device}`,
      tls: {},
      version: 4,
      keepaliveSeconds: 30,
      will:
        as.will === undefined
          ? undefined
          : { topic: as.will, payload: Buffer.from('will'), qos: 1, retain: false },
    },
    new AbortController().signal,
  )
  lines.push(line)
  return line
}

const say = (line: Line, topic: string, text = 'words') =>
  line.publish({ topic, payload: Buffer.from(text), qos: 1, retain: false })

describe('who may come', () => {
  test.each<[string, string, { clientId?: string; password?: string }]>([
    ['a device with a wrong secret', 'cam-01', { password: 'secret of cam-02' }],
    ['a device under the client id of another', 'cam-01', { clientId: 'cam-02' }],
    ['a device under no client id', 'cam-01', { clientId: '' }],
    ['somebody with wildcards for a name', '+', {}],
    ['somebody named like a level too many', 'a/b', {}],
  ])('%s may not', async (_, device, as) => {
    await expect(come(device, as)).rejects.toThrow(/Cannot reach the broker/)
  })

  test('one device cannot throw another off; the same device again takes its own place', async () => {
    const first = await come('cam-01')
    await expect(come('cam-02', { clientId: 'cam-01' })).rejects.toThrow()
    expect(first.isOpen).toBe(true)
    await say(first, topics.up('cam-01', 'ev'))
    await come('cam-01')
    await first.ended
    expect(first.isOpen).toBe(false)
  })
})

describe('what it may hear', () => {
  test.each([
    'limpet/v1/d/cam-02/#',
    'limpet/v1/d/+/desired',
    'limpet/v1/d/#',
    'limpet/v1/d/cam-01',
    'limpet/v1/u/cam-01/ev',
    'limpet/v1/#',
    '#',
    '+/+/+/+/+',
    '$SYS/#',
    'limpet/v1/d/cam-011/rsp',
  ])('not "%s"', async (filter) => {
    const line = await come('cam-01')
    await expect(line.subscribe([{ topic: filter, qos: 0 }])).rejects.toThrow('the broker does not allow it')
  })

  test('what is said to it and to all, and nothing that is said to others', async () => {
    const line = await come('cam-01')
    const got: string[] = []
    line.onMessage((topic) => got.push(topic))
    await line.subscribe(['limpet/v1/d/cam-01/#', 'limpet/v1/r/#'].map((topic) => ({ topic, qos: 1 })))
    for (const device of ['cam-02', 'cam-01']) {
      await broker.publish({
        topic: topics.down(device, 'rsp'),
        payload: Buffer.from('x'),
        qos: 0,
        retain: false,
      })
    }
    await broker.publish({ topic: topics.registryMeta, payload: Buffer.from('x'), qos: 1, retain: false })
    await eventually('both are heard', () => got.length >= 2)
    expect(got.sort()).toEqual(['limpet/v1/d/cam-01/rsp', 'limpet/v1/r/meta'])
  })
})

describe('what it may say', () => {
  test.each([
    'limpet/v1/u/cam-02/state',
    'limpet/v1/u/cam-01/other',
    'limpet/v1/u/cam-01/ev/more',
    'limpet/v1/d/cam-01/desired',
    'limpet/v1/r/state',
    '$SYS/broker',
  ])('not to "%s": it is thrown out, and nobody hears it', async (topic) => {
    const line = await come('cam-01')
    await say(line, topic).catch(() => undefined)
    await line.ended
    const other = await come('cam-01')
    await say(other, topics.up('cam-01', 'ev'), 'the end')
    await eventually('what is allowed is heard', () => heard.length > 0)
    expect(heard).toEqual([['limpet/v1/u/cam-01/ev', 'the end']])
  })

  test('a last will in the name of another is not said', async () => {
    const line = await come('cam-01', { will: topics.up('cam-02', 'state') })
    line.drop()
    const own = await come('cam-03', { will: topics.up('cam-03', 'state') })
    own.drop()
    await eventually('a will of its own is said', () => heard.length > 0)
    expect(heard).toEqual([['limpet/v1/u/cam-03/state', 'will']])
  })
})

describe('a packet that is too long', () => {
  const CONNECT_OF = (length: number[]) => Buffer.from([0x10, ...length])

  function closed(socket: Socket): Promise<true> {
    return new Promise((resolve) => {
      socket.once('close', () => resolve(true))
      socket.on('error', () => undefined)
      socket.resume()
    })
  }

  test('is not collected: who announces one is hung up on, before saying who he is', async () => {
    const socket = connect(broker.port, '127.0.0.1')
    const end = closed(socket)
    socket.write(CONNECT_OF([0xff, 0xff, 0xff, 0x7f]))
    expect(await end).toBe(true)
  })

  test('is known however it is cut', () => {
    const packet = (length: number) => {
      const digits: number[] = []
      let rest = length
      do {
        digits.push((rest % 128) | (rest >= 128 ? 0x80 : 0))
        rest = Math.floor(rest / 128)
      } while (rest > 0)
      return Buffer.concat([Buffer.from([0x30, ...digits]), Buffer.alloc(Math.min(length, 70_000))])
    }
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 70_000 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 20_000 }),
        (lengths, cut) => {
          const most = 60_000
          const bytes = Buffer.concat(lengths.map(packet))
          const guard = new PacketLengths(most)
          let isAllowed = true
          for (let at = 0; at < bytes.length && isAllowed; at += cut)
            isAllowed = guard.allow(bytes.subarray(at, at + cut))
          expect(isAllowed).toBe(lengths.every((length) => length <= most))
        },
      ),
      { seed: SEED, numRuns: 200 },
    )
  })
})

test('no device and no topic of another get past the rules', () => {
  const rules = new BrokerRules(topics)
  const level = fc.constantFrom(
    'limpet',
    'v1',
    'd',
    'u',
    'r',
    'cam-01',
    'cam-02',
    'ev',
    'state',
    'rsp',
    '#',
    '+',
    '',
  )
  fc.assert(
    fc.property(fc.array(level, { minLength: 1, maxLength: 7 }), (levels) => {
      const topic = levels.join('/')
      if (rules.mayPublish('cam-01', topic)) expect(topic).toMatch(/^limpet\/v1\/u\/cam-01\/(ev|state)$/)
      if (rules.maySubscribe('cam-01', topic)) expect(topic).toMatch(/^limpet\/v1\/(d\/cam-01|r)\/./)
    }),
    { seed: SEED, numRuns: 2_000 },
  )
})
