/** What is written down of a request: enough to know what was asked, never a secret, never much. */
const DETAIL_BYTES_MAX = 4096
const BODY_BYTES_MAX = 64 * 1024
const TEXT_LENGTH_MAX = 256
const ITEMS_MAX = 50
const DEPTH_MAX = 6

/** Names whose values are nobody's business. */
const SECRET_NAME = /secret|password|passphrase|token|credential|authorization|private|^(api_?)?key$/i
/** The form of what this registry gives out, and of keys in files, wherever they stand. */
const SECRET_TEXT = /\b[a-z]{2}_[0-9a-f]{16}_[0-9a-f]{64}\b|PRIVATE KEY/
const HIDDEN = '…'

/** Null: it is no JSON, or too much of it to be looked at. */
export async function detailOf(request: Request): Promise<unknown> {
  const text = await peek(request)
  if (text === undefined || text === '') return null
  try {
    const shown = show(JSON.parse(text), 0)
    return JSON.stringify(shown).length <= DETAIL_BYTES_MAX ? shown : { omitted_bytes: text.length }
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

/** The body, which stays there for whoever answers; undefined where it is large. */
async function peek(request: Request): Promise<string | undefined> {
  if (request.body === null) return ''
  const reader = (request.clone().body as ReadableStream<Uint8Array>).getReader()
  const pieces: Uint8Array[] = []
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return Buffer.concat(pieces).toString()
    bytes += value.byteLength
    if (bytes > BODY_BYTES_MAX) {
      void reader.cancel().catch(() => undefined)
      return undefined
    }
    pieces.push(value)
  }
}

function show(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return showText(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth >= DEPTH_MAX) return HIDDEN
  if (Array.isArray(value)) {
    const items = value.slice(0, ITEMS_MAX).map((item) => show(item, depth + 1))
    return value.length > ITEMS_MAX ? [...items, HIDDEN] : items
  }
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, ITEMS_MAX)
      .map(([name, item]) => [name, SECRET_NAME.test(name) ? HIDDEN : show(item, depth + 1)]),
  )
}

function showText(text: string): string {
  if (SECRET_TEXT.test(text)) return HIDDEN
  return text.length <= TEXT_LENGTH_MAX ? text : `${text.slice(0, TEXT_LENGTH_MAX)}${HIDDEN}`
}
