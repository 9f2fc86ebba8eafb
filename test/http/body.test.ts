import { describe, expect, test } from 'bun:test'
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { freeBody, readBody } from '../../src/http/body.ts'
import { EdgeError } from '../../src/kit/errors.ts'

const MAX = 1_000

/** As a server hands it over: with a length, or piece by piece without one. */
function announced(body: Uint8Array<ArrayBuffer>, headers: Readonly<Record<string, string>> = {}): Request {
  return new Request('http://limpet/', {
    method: 'POST',
    body,
    headers: { 'Content-Length': String(body.length), ...headers },
  })
}

function chunked(pieces: readonly Uint8Array[], headers: Readonly<Record<string, string>> = {}) {
  const taken = { pieces: 0, isCancelled: false }
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const piece = pieces[taken.pieces]
        if (piece === undefined) return controller.close()
        taken.pieces += 1
        controller.enqueue(piece)
      },
      cancel() {
        taken.isCancelled = true
      },
    },
    { highWaterMark: 0 },
  )
  return { request: new Request('http://limpet/', { method: 'POST', body, headers }), taken }
}

const bytes = (length: number) => Uint8Array.from({ length }, (_, index) => index % 251)
const read = async (request: Request) => [...new Uint8Array(await readBody(request, MAX))]

async function refusal(reading: Promise<unknown>): Promise<unknown> {
  const error = await reading.then(
    () => 'read',
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(EdgeError)
  return (error as EdgeError).code
}

describe('with a Content-Length', () => {
  test.each([0, 1, MAX])('%d bytes are read', async (length) => {
    expect(await read(announced(bytes(length)))).toEqual([...bytes(length)])
  })

  test('a byte more is refused, by the header alone', async () => {
    const { request, taken } = chunked([bytes(1)], { 'Content-Length': String(MAX + 1) })
    const reading = readBody(request, MAX)
    await expect(reading).rejects.toThrow('Cannot read the body: 1001 bytes, at most 1000')
    expect(await refusal(reading)).toBe('body_too_large')
    expect(taken.pieces).toBe(0)
  })
})

describe('without one', () => {
  test('nothing is an empty body', async () => {
    expect(await read(new Request('http://limpet/', { method: 'POST' }))).toEqual([])
    expect(await read(chunked([]).request)).toEqual([])
  })

  test('pieces up to the bound are put together', async () => {
    const { request } = chunked([bytes(MAX - 7), bytes(0), bytes(7)])
    expect(await read(request)).toEqual([...bytes(MAX - 7), ...bytes(7)])
  })

  test('a byte more is refused as soon as it is there, and no more is read', async () => {
    const { request, taken } = chunked([
      bytes(MAX),
      bytes(1),
      ...Array.from({ length: 50 }, () => bytes(100)),
    ])
    expect(await refusal(readBody(request, MAX))).toBe('body_too_large')
    expect(taken.pieces).toBeLessThan(10)
    expect(taken.isCancelled).toBe(true)
  })
})

describe.each([
  ['gzip', gzipSync],
  ['deflate', deflateSync],
] as const)('%s', (encoding, compress) => {
  const headers = { 'Content-Encoding': encoding }
  const packed = (body: Uint8Array) => Uint8Array.from(compress(body))

  test.each([0, 1, MAX])('%d bytes are read', async (length) => {
    expect(await read(announced(packed(bytes(length)), headers))).toEqual([...bytes(length)])
    expect(await read(chunked([packed(bytes(length))], headers).request)).toEqual([...bytes(length)])
  })

  test('the name may be in capitals', async () => {
    const request = announced(packed(bytes(5)), { 'Content-Encoding': encoding.toUpperCase() })
    expect(await read(request)).toEqual([...bytes(5)])
  })

  test.each([
    ['a byte more', MAX + 1],
    ['a bomb', 500_000],
  ])('%s is refused', async (_, length) => {
    const body = packed(new Uint8Array(length))
    expect(body.length).toBeLessThan(MAX)
    const reading = readBody(announced(body, headers), MAX)
    await expect(reading).rejects.toThrow('more than 1000 bytes decompressed')
    expect(await refusal(reading)).toBe('body_too_large')
  })

  test.each<[string, Uint8Array<ArrayBuffer>]>([
    ['nothing', new Uint8Array(0)],
    ['what is not compressed', bytes(50)],
    ['what is cut short', packed(bytes(500)).slice(0, 100)],
    ['what is flipped', packed(bytes(500)).map((byte, index) => (index === 60 ? byte ^ 0xff : byte))],
  ])('%s is refused', async (_, body) => {
    expect(await refusal(readBody(announced(body, headers), MAX))).toBe('input_invalid')
  })
})

describe('Content-Encoding', () => {
  test.each(['identity', 'Identity', 'IDENTITY'])('%s is the body as it is', async (encoding) => {
    expect(await read(announced(bytes(5), { 'Content-Encoding': encoding }))).toEqual([...bytes(5)])
  })

  test.each(['br', 'zstd', 'gzip, gzip', 'x'])(
    '%s is refused with those that are known',
    async (encoding) => {
      const reading = readBody(announced(bytes(5), { 'Content-Encoding': encoding }), MAX)
      await expect(reading).rejects.toThrow(`"${encoding}", expected gzip or deflate`)
      expect(await refusal(reading)).toBe('encoding_unsupported')
    },
  )

  test('deflate without its header, as some clients once sent it, is refused', async () => {
    const body = Uint8Array.from(deflateRawSync(bytes(500)))
    const reading = readBody(announced(body, { 'Content-Encoding': 'deflate' }), MAX)
    expect(await refusal(reading)).toBe('input_invalid')
  })
})

describe('a client that goes away before its body is there', () => {
  test.each([
    ['with a Content-Length', { 'Content-Length': '500' }],
    ['without one', {}],
  ])('%s: cancelled, and no fault of ours', async (_, headers) => {
    const abort = new AbortController()
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(bytes(3)),
      pull: (controller) => {
        abort.abort()
        controller.error(new DOMException('The connection was closed.', 'AbortError'))
      },
    })
    const request = new Request('http://limpet/', { method: 'POST', body, headers, signal: abort.signal })
    expect(await refusal(readBody(request, MAX))).toBe('cancelled')
  })
})

describe('a body that was answered', () => {
  test('gives its memory back at once where it is large, and leaves no bytes to read by mistake', () => {
    const body = new ArrayBuffer(32_768)
    const view = new Uint8Array(body, 1)
    freeBody(body)
    expect([body.detached, view.length]).toEqual([true, 0])
  })

  test('stays where it is little, and may have gone to another thread', () => {
    const little = new ArrayBuffer(32_767)
    freeBody(little)
    expect(little.detached).toBe(false)
    const gone = new ArrayBuffer(32_768)
    structuredClone(gone, { transfer: [gone] })
    expect(() => freeBody(gone)).not.toThrow()
  })
})
