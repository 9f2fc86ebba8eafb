import { parseExactJson } from '../kit/exact-json.ts'
import { readBody } from './body.ts'
import { asObject, type Json } from './fields.ts'

/** What control requests say is short; only models that come within a load may be as long as any body. */
const CONTROL_BYTES_MAX = 65_536

/** The object in a request's body; clients that have nothing to say send an empty body or none. */
export async function readJsonObject(request: Request, bodyBytesMax: number): Promise<Json> {
  const bytesMax = Math.min(bodyBytesMax, CONTROL_BYTES_MAX)
  return parseJsonObject(await readBody(request, bytesMax, undefined, 'of a control request'))
}

export function parseJsonObject(body: ArrayBuffer): Json {
  const text = new TextDecoder().decode(body)
  return text.trim() === '' ? {} : asObject(parseExactJson(text), 'The body')
}
