import { parseExactJson } from '../kit/exact-json.ts'
import { readBody } from './body.ts'
import { asObject, type Json } from './fields.ts'

/** The object in a request's body; clients that have nothing to say send an empty body or none. */
export async function readJsonObject(request: Request, bodyBytesMax: number): Promise<Json> {
  const text = new TextDecoder().decode(await readBody(request, bodyBytesMax))
  return text.trim() === '' ? {} : asObject(parseExactJson(text), 'The body')
}
