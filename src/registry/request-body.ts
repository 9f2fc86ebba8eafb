import { prettifyError, type z } from 'zod'
import { EdgeError, messageOf } from '../kit/errors.ts'

const JSON_BYTES_MAX = 4 * 1024 ** 2

/** What a request brings as JSON, against its schema. Says everything that is wrong at once. */
export async function readJson<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
): Promise<z.infer<Schema>> {
  return check(schema, parse(await readBytes(request, JSON_BYTES_MAX)))
}

export function check<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw new EdgeError('input_invalid', `Cannot use the request: ${prettifyError(parsed.error)}`)
}

export async function readBytes(request: Request, bytesMax: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of piecesOf(request)) {
    bytes += piece.byteLength
    if (bytes > bytesMax) {
      throw new EdgeError(
        'body_too_large',
        `Cannot read the request: more than ${bytesMax} bytes, at most ${bytesMax}`,
      )
    }
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

/** As it arrives, so that a large one is never in memory as a whole. */
export async function* piecesOf(request: Request): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of request.body ?? []) yield piece
  } catch (cause) {
    throw new EdgeError('cancelled', 'Cannot read the request: it broke off', { cause })
  }
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new EdgeError('input_invalid', `Cannot read the request as JSON: ${messageOf(cause)}`, { cause })
  }
}
