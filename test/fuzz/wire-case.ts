/** One request on its way to become bytes, each wrong thing about it in a field of its own so that it can be undone. */
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { Random } from '../kit/random.ts'

/** How the body is packed, and what Content-Encoding says of it. */
export const ENCODINGS = [
  'none',
  'gzip',
  'deflate',
  'gzip-cut',
  'gzip-noise',
  'gzip-twice',
  'gzip-lie',
  'gzip-trailing',
  'deflate-raw',
  'bomb',
  'unknown',
] as const

/** How the body's end is found. */
export const FRAMINGS = [
  'length',
  'chunked',
  'none',
  'length-short',
  'length-long',
  'length-noise',
  'length-twice',
  'length-and-chunked',
  'chunked-cut',
  'chunked-noise',
] as const

type Framing = (typeof FRAMINGS)[number]

export interface WireCase {
  /** What made it, for the counts. */
  readonly kind: string
  readonly method: string
  readonly path: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly json: Uint8Array
  readonly binary: Uint8Array
  /** Inference-Header-Content-Length: "true" is what the JSON has. */
  readonly headerLength: string | undefined
  readonly encoding: (typeof ENCODINGS)[number]
  readonly framing: Framing
  /** Decides what is arbitrary in encoding and framing. */
  readonly salt: number
  /** Set while nothing is wrong with it: it then has to be answered 200. */
  readonly isGood: boolean
  /** An identity: what comes back in binary is what was sent. */
  readonly isEcho: boolean
}

/** With these framings the server sees a whole request and so owes an answer. */
const WHOLE: ReadonlySet<Framing> = new Set(['length', 'chunked'])

export function isWhole(wire: WireCase): boolean {
  const isPlain = wire.headers.every(([name, value]) => isToken(name) && isFieldValue(value))
  const isFramed = WHOLE.has(wire.framing) || (wire.framing === 'none' && isEmpty(wire))
  return isFramed && isPlain && METHODS.test(wire.method) && isTarget(wire.path)
}

const isEmpty = ({ json, binary, encoding }: WireCase) =>
  json.length + binary.length === 0 && (encoding === 'none' || encoding === 'unknown')
/** What Bun's HTTP server knows; others it hangs up on. */
const METHODS = /^(GET|POST|HEAD|OPTIONS|PUT|DELETE|PATCH)$/
const isToken = (name: string) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) && !FRAMING_HEADERS.test(name)
const isFieldValue = (value: string) => /^[\t\x20-\x7e]*$/.test(value) && value.length < 4_096
const isTarget = (path: string) => /^\/[\x21-\x7e]*$/.test(path) && path.length < 4_096
const FRAMING_HEADERS = /^(connection|upgrade|transfer-encoding|content-length|expect|host)$/i

export function encodeWire(wire: WireCase): Uint8Array {
  const random = new Random(wire.salt)
  const body = pack(random, wire)
  const { headers, framed } = frame(random, wire.framing, body)
  const lines = [
    `${wire.method} ${wire.path} HTTP/1.1`,
    'Host: localhost',
    ...wire.headers.map(([name, value]) => `${name}: ${value}`),
    ...encodingHeader(wire),
    ...(wire.headerLength === undefined ? [] : [`Inference-Header-Content-Length: ${headerLength(wire)}`]),
    ...headers,
  ]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), framed])
}

function headerLength({ headerLength: said, json }: WireCase): string {
  return said === 'true' ? String(json.length) : String(said)
}

function encodingHeader({ encoding }: WireCase): string[] {
  if (encoding === 'none') return []
  if (encoding === 'unknown') return ['Content-Encoding: br']
  return [`Content-Encoding: ${encoding.startsWith('deflate') ? 'deflate' : 'gzip'}`]
}

/** Many times what a body may be, in a thousandth of it. */
const BOMB = gzipSync(new Uint8Array(64 * 1024 ** 2), { level: 9 })

function pack(random: Random, { json, binary, encoding }: WireCase): Uint8Array {
  const body = Buffer.concat([json, binary])
  const packed = gzipSync(body, { level: 1 })
  switch (encoding) {
    case 'none':
    case 'gzip-lie':
    case 'unknown':
      return body
    case 'gzip':
      return packed
    case 'deflate':
      return deflateSync(body, { level: 1 })
    case 'deflate-raw':
      return deflateRawSync(body, { level: 1 })
    case 'gzip-cut':
      return packed.subarray(0, random.below(packed.length))
    case 'gzip-noise':
      packed[random.below(packed.length)] = random.below(256)
      return packed
    case 'gzip-twice':
      return gzipSync(packed)
    case 'gzip-trailing':
      return Buffer.concat([packed, random.bytes(random.between(1, 20))])
    case 'bomb':
      return BOMB
  }
}

function frame(
  random: Random,
  framing: Framing,
  body: Uint8Array,
): { headers: string[]; framed: Uint8Array } {
  const length = (value: number | string) => `Content-Length: ${value}`
  switch (framing) {
    case 'length':
      return { headers: [length(body.length)], framed: body }
    case 'none':
      return { headers: [], framed: body }
    case 'length-short':
      return { headers: [length(random.below(body.length + 1))], framed: body }
    case 'length-long':
      return { headers: [length(body.length + random.between(1, 1_000))], framed: body }
    case 'length-noise':
      return { headers: [length(random.pick(LENGTHS))], framed: body }
    case 'length-twice':
      return { headers: [length(body.length), length(body.length + random.below(2))], framed: body }
    case 'length-and-chunked':
      return { headers: [length(random.below(body.length + 1)), CHUNKED], framed: chunk(random, body) }
    case 'chunked':
      return { headers: [CHUNKED], framed: chunk(random, body) }
    case 'chunked-cut': {
      const whole = chunk(random, body)
      return { headers: [CHUNKED], framed: whole.subarray(0, random.below(whole.length)) }
    }
    case 'chunked-noise': {
      const whole = chunk(random, body)
      whole[random.below(whole.length)] = random.below(256)
      return { headers: [CHUNKED], framed: whole }
    }
  }
}

const CHUNKED = 'Transfer-Encoding: chunked'
const LENGTHS = [
  '',
  '-1',
  '+5',
  '1e3',
  '0x10',
  ' 7 7',
  '99999999999999999999',
  '18446744073709551617',
  '5,5',
  'x',
]

function chunk(random: Random, body: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = []
  const extension = random.chance(0.2) ? ';a=b' : ''
  for (let at = 0; at < body.length; ) {
    const size = Math.min(body.length - at, 1 + random.below(random.pick([2, 100, 70_000])), body.length)
    // Many tiny ones of a large body only take time.
    const length = body.length - at > 4_096 ? Math.min(body.length - at, Math.max(size, 2_048)) : size
    const digits = length.toString(16)
    parts.push(Buffer.from(`${random.chance(0.3) ? digits.toUpperCase() : digits}${extension}\r\n`))
    parts.push(body.subarray(at, at + length), Buffer.from('\r\n'))
    at += length
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')])
}
