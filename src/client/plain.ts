import { EdgeError } from '../kit/errors.ts'

/** One element of a tensor, as JSON and JavaScript know it. */
export type Plain = number | bigint | boolean | string

/** What JSON has no numbers for, and what servers and files write in their place. */
const NOT_FINITE = new Set(['NaN', 'Infinity', '-Infinity'])

export function toFloat(value: Plain): number {
  if (typeof value === 'string' && !NOT_FINITE.has(value)) throw refusal(value, 'a number')
  return Number(value)
}

export function integersWithin(lowest: number, highest: number): (value: Plain) => number {
  return (value) => {
    const number = typeof value === 'string' ? Number.NaN : Number(value)
    if (Number.isInteger(number) && number >= lowest && number <= highest) return number
    throw refusal(value, `a whole number from ${lowest} to ${highest}`)
  }
}

export function longsWithin(lowest: bigint, highest: bigint): (value: Plain) => bigint {
  return (value) => {
    const isWhole = typeof value === 'number' ? Number.isInteger(value) : typeof value !== 'string'
    const long = isWhole ? BigInt(value) : undefined
    if (long !== undefined && long >= lowest && long <= highest) return long
    throw refusal(value, `a whole number from ${lowest} to ${highest}`)
  }
}

export function toBoolean(value: Plain): boolean {
  if (value === true || value === 1) return true
  if (value === false || value === 0) return false
  throw refusal(value, 'true, false, 0 or 1')
}

export function toText(value: Plain): string {
  if (typeof value === 'string') return value
  throw refusal(value, 'a text in quotes')
}

function refusal(value: Plain, wanted: string): EdgeError {
  const shown = typeof value === 'string' ? `"${value.slice(0, 40)}"` : String(value)
  return new EdgeError('input_invalid', `Cannot write ${shown} into the tensor: wanted ${wanted}`)
}
