import { EdgeError } from '../kit/errors.ts'

/** From the first byte up to, but not, the one at `end`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * What a Range header asks of a file (RFC 9110, 14.1.2). Undefined: all of it. Several ranges at once are refused: chunks
 * that lie side by side are asked for as one.
 */
export function parseRange(header: string | undefined, bytes: number): ByteRange | undefined {
  if (header === undefined || !header.startsWith('bytes=')) return undefined
  const [, from = '', to = ''] =
    /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.replaceAll(' ', '')) ?? refuse(header, bytes)
  if (from === '' && to === '') return refuse(header, bytes)
  const start = from === '' ? Math.max(0, bytes - Number(to)) : Number(from)
  const end = from === '' || to === '' ? bytes : Math.min(bytes, Number(to) + 1)
  return start < end ? { start, end } : refuse(header, bytes)
}

function refuse(header: string, bytes: number): never {
  throw new EdgeError('range_invalid', `Cannot give "${header}": expected one range within ${bytes} bytes`)
}
