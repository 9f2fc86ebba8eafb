import { WANT_BITS_MAX } from './messages.ts'

/** Numbers, ascending, as one bit each from an offset on: the highest bit of the first hex digit is the offset itself. */
export interface Bitmap {
  readonly offset: number
  readonly want: string
}

/** As many of the first numbers as fit between the offset and the most that a bitmap holds. */
export function encodeBitmap(numbers: readonly number[]): Bitmap {
  const [offset = 0] = numbers
  const taken = numbers.filter((number) => number - offset < WANT_BITS_MAX)
  const digits = new Uint8Array(taken.length === 0 ? 0 : Math.floor(((taken.at(-1) ?? 0) - offset) / 4) + 1)
  for (const number of taken) {
    const bit = number - offset
    digits[bit >> 2] = (digits[bit >> 2] ?? 0) | (8 >> (bit & 3))
  }
  return { offset, want: Array.from(digits, (digit) => digit.toString(16)).join('') }
}

export function* decodeBitmap({ offset, want }: Bitmap): Generator<number> {
  for (let index = 0; index < want.length; index += 1) {
    const digit = Number.parseInt(want.charAt(index), 16)
    for (let bit = 0; bit < 4; bit += 1) if ((digit & (8 >> bit)) !== 0) yield offset + index * 4 + bit
  }
}
