/**
 * JSON as servers and files of numbers really write it: bare NaN and Infinity (they become texts, which
 * `plain.ts` takes for floats) and whole numbers that a number cannot hold (they become bigints).
 */
export function parseJson(text: string): unknown {
  const standard = /NaN|Infinity/.test(text) ? quoteNotFinite(text) : text
  // A reviver costs a call for every element: only a text that needs one gets one.
  return LONG_NUMBER.test(text) ? parseWithSource(standard, keepLong) : JSON.parse(standard)
}

/** What JSON cannot hold is written as text: NaN, infinities, and whole numbers past 2^53. */
export function printJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return Number.isSafeInteger(Number(part)) ? Number(part) : String(part)
    return typeof part === 'number' && !Number.isFinite(part) ? String(part) : part
  })
}

const LONG_NUMBER = /\d{16}/
const ESCAPE_QUOTE_OR_WORD = /\\.|"|-?(?:NaN|Infinity)\b/gs

/** Only what stands outside of texts. Not one pattern for a whole text: a long one is more than it can match. */
function quoteNotFinite(json: string): string {
  let isInText = false
  return json.replaceAll(ESCAPE_QUOTE_OR_WORD, (token) => {
    if (token === '"') isInText = !isInText
    return isInText || token === '"' ? token : `"${token}"`
  })
}

type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown

/** The third argument of a reviver is newer than TypeScript's declaration of it. */
const parseWithSource = JSON.parse as (text: string, reviver: Reviver) => unknown

/** Longer than any integer datatype is no integer of a tensor: it stays what JSON makes of it. */
const WHOLE_NUMBER = /^-?\d{16,20}$/

function keepLong(_key: string, value: unknown, { source = '' }: { source?: string }): unknown {
  if (typeof value !== 'number' || !WHOLE_NUMBER.test(source)) return value
  const long = BigInt(source)
  return long === BigInt(value) ? value : long
}
