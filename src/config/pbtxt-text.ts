/** What a backslash and a letter stand for. */
const LETTERS: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '?': '?',
  '\\': '\\',
  "'": "'",
  '"': '"',
}

/** Several `\u` in a row are one match: two of them may be the halves of one character. */
const ESCAPE =
  /\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|(u[0-9a-fA-F]{4}(?:\\u[0-9a-fA-F]{4})*)|U([0-9a-fA-F]{8})|([\s\S]?))/g

type Fail = (problem: { what: string; offset: number }) => never

/**
 * What stands between the quotes, as bytes in a string of a character each: escapes may make up a character's bytes one
 * by one, also across texts that follow each other.
 */
export function unescapeText(source: string, fail: Fail): string {
  let bytes = ''
  let at = 0
  for (const match of source.matchAll(ESCAPE)) {
    bytes += toBytes(source.slice(at, match.index)) + unescapeOne(match, fail)
    at = match.index + match[0].length
  }
  return bytes + toBytes(source.slice(at))
}

/** The characters of such bytes; undefined where they are no UTF-8, which Protocol Buffers demand of a text. */
export function decodeText(bytes: string): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes, 'latin1'))
  } catch {
    return undefined
  }
}

function unescapeOne(match: RegExpExecArray, fail: Fail): string {
  const [whole, octal, hex, units, code, letter] = match
  const wrong = (what: string) => fail({ what: `${JSON.stringify(whole)} ${what}`, offset: match.index })
  if (octal !== undefined || hex !== undefined) {
    const byte = octal === undefined ? Number.parseInt(hex ?? '', 16) : Number.parseInt(octal, 8)
    return byte > 255 ? wrong('is more than a byte, at most "\\377"') : String.fromCharCode(byte)
  }
  if (units !== undefined) {
    const text = units.replaceAll(/\\?u(....)/g, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 16)),
    )
    return text.isWellFormed() ? toBytes(text) : wrong('is half a character')
  }
  if (code !== undefined) {
    const point = Number.parseInt(code, 16)
    const isCharacter = point <= 0x10ffff && (point < 0xd800 || point > 0xdfff)
    return isCharacter ? toBytes(String.fromCodePoint(point)) : wrong('is no character')
  }
  return LETTERS[letter ?? ''] ?? wrong('is no escape')
}

function toBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}
