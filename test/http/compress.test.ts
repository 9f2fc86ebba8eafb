import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { gunzipSync, inflateSync } from 'node:zlib'
import { chooseAccepted, chooseEncoding, compressAnswer } from '../../src/http/compress.ts'
import { setLogLevel } from '../../src/kit/log.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

const LARGE = { body: 'x'.repeat(1448), headers: { 'Content-Type': 'application/json' } }

test.each([
  ['gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['GZIP ; Q=0.5', 'gzip'],
  ['gzip, deflate', 'gzip'],
  ['deflate, gzip', 'gzip'],
  ['gzip;q=0.5, deflate;q=0.8', 'deflate'],
  ['gzip;q=0, deflate', 'deflate'],
  ['br, zstd', undefined],
  ['br, deflate;q=0.1', 'deflate'],
  ['*', 'gzip'],
  ['*, gzip;q=0', 'deflate'],
  ['*;q=0', undefined],
  ['identity', undefined],
  ['identity, gzip;q=0.5', undefined],
  ['identity;q=0.5, gzip', 'gzip'],
  ['gzip;q=x', undefined],
  ['', undefined],
] as const)('Accept-Encoding "%s": %s', (header, encoding) => {
  expect(chooseAccepted(header)).toBe(encoding)
})

test('what fits into one packet is sent as it is', () => {
  const request = new Request('http://limpet', { headers: { 'Accept-Encoding': 'gzip' } })
  expect(chooseEncoding(LARGE, request)).toBe('gzip')
  expect(chooseEncoding({ ...LARGE, body: LARGE.body.slice(1) }, request)).toBeUndefined()
  expect(chooseEncoding(LARGE, new Request('http://limpet'))).toBeUndefined()
})

describe('compressed answers', () => {
  test.each([
    ['gzip', gunzipSync],
    ['deflate', inflateSync],
  ] as const)('%s is read back as it was, with its headers', async (encoding, decompress) => {
    const body = new Uint8Array(5000).fill(7)
    const headers = { 'Inference-Header-Content-Length': '100' }
    const response = await compressAnswer({ body, headers }, encoding)
    expect(response.headers.get('Content-Encoding')).toBe(encoding)
    expect(response.headers.get('Inference-Header-Content-Length')).toBe('100')
    const came = new Uint8Array(await response.arrayBuffer())
    expect(came.length).toBeLessThan(body.length)
    expect(new Uint8Array(decompress(came))).toEqual(body)
  })

  test('what would grow is sent as it is', async () => {
    const body = crypto.getRandomValues(new Uint8Array(4096))
    const response = await compressAnswer({ body, headers: {} }, 'gzip')
    expect(response.headers.get('Content-Encoding')).toBeNull()
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(body)
  })

  test('what cannot be compressed is sent as it is', async () => {
    const body = 'x'.repeat(5000)
    const response = await compressAnswer({ body, headers: {} }, 'broken' as 'gzip')
    expect(response.headers.get('Content-Encoding')).toBeNull()
    expect(await response.text()).toBe(body)
  })
})
