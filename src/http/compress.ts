import { promisify } from 'node:util'
import { constants, deflate, gzip } from 'node:zlib'
import { messageOf } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'

/** An answer before it becomes a `Response`: text, or text followed by binary data. */
export interface EncodedAnswer {
  readonly body: string | Uint8Array<ArrayBuffer>
  readonly headers: Readonly<Record<string, string>>
}

type Encoding = 'gzip' | 'deflate'

/** What one Ethernet frame carries of a TCP stream: below it nothing arrives sooner for being smaller. */
const COMPRESS_BYTES_MIN = 1448

/** HTTP's "deflate" is the zlib format (RFC 9110, 8.4.1.2). */
const COMPRESS = { gzip: promisify(gzip), deflate: promisify(deflate) } as const

const LOG: Logger = logger('http')

/** What the client takes and likes best of what we have; undefined to send the answer as it is. */
export function chooseEncoding(answer: EncodedAnswer, request: Request): Encoding | undefined {
  if (answer.body.length < COMPRESS_BYTES_MIN) return undefined
  const accepted = request.headers.get('accept-encoding')
  return accepted === null ? undefined : chooseAccepted(accepted)
}

/** Accept-Encoding of RFC 9110, 12.5.3: weights, "*" for what is not named, "identity" for no encoding. */
export function chooseAccepted(header: string): Encoding | undefined {
  const weights = new Map(header.split(',').map(parseWeighted))
  const weightOf = (coding: string) => weights.get(coding) ?? weights.get('*') ?? 0
  const gzipWeight = weightOf('gzip')
  const deflateWeight = weightOf('deflate')
  const best = Math.max(gzipWeight, deflateWeight)
  // Without a word about it, no encoding is acceptable but less welcome than any that is named.
  if (best <= 0 || best < (weights.get('identity') ?? 0)) return undefined
  return gzipWeight === best ? 'gzip' : 'deflate'
}

/**
 * On a thread of the pool, at the fastest level: the line is not so slow that a better one would be worth its time.
 * The length of the JSON in its header counts before compression, so the headers stay as they are.
 */
export async function compressAnswer(answer: EncodedAnswer, encoding: Encoding): Promise<Response> {
  const { body, headers } = answer
  try {
    const compressed = await COMPRESS[encoding](body, { level: constants.Z_BEST_SPEED })
    if (compressed.byteLength < body.length) {
      return new Response(compressed, {
        headers: { ...headers, 'Content-Encoding': encoding },
      })
    }
  } catch (error) {
    LOG.warn('http.answer_not_compressed', { encoding, bytes: body.length, error: messageOf(error) })
  }
  return new Response(body, { headers })
}

function parseWeighted(text: string): readonly [coding: string, weight: number] {
  const [coding = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase())
  const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice('q='.length)
  return [coding, weight === undefined ? 1 : Number(weight) || 0]
}
