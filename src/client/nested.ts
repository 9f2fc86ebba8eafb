import { EdgeError } from '../kit/errors.ts'
import type { Plain } from './plain.ts'

/** Far more than any model has; a bound for the recursion. */
const AXES_MAX = 32

interface Flat {
  readonly shape: readonly number[]
  readonly values: readonly Plain[]
}

/** Arrays in arrays, as JSON has them, to one row-major list. A lone value has no axes. */
export function flattenNested(nested: unknown): Flat {
  const shape = measureShape(nested)
  const values: Plain[] = []
  collect(nested, shape, values)
  return { shape, values }
}

function measureShape(nested: unknown): number[] {
  const shape: number[] = []
  for (let part = nested; Array.isArray(part); part = part[0]) {
    shape.push(part.length)
    if (shape.length > AXES_MAX) {
      throw new EdgeError('input_invalid', `Cannot read the array: it is nested more than ${AXES_MAX} deep`)
    }
  }
  return shape
}

function collect(part: unknown, shape: readonly number[], values: Plain[]): void {
  const [length, ...inner] = shape
  if (length === undefined) {
    values.push(expectPlain(part))
    return
  }
  if (!Array.isArray(part) || part.length !== length) {
    const found = Array.isArray(part) ? `one with ${part.length}` : 'a lone value'
    throw new EdgeError(
      'input_invalid',
      `Cannot read the array: a row has ${length} elements, beside it is ${found}`,
    )
  }
  for (const item of part) collect(item, inner, values)
}

function expectPlain(part: unknown): Plain {
  switch (typeof part) {
    case 'number':
    case 'bigint':
    case 'boolean':
    case 'string':
      return part
    default: {
      const found =
        part === null ? 'null' : Array.isArray(part) ? 'an array among values' : `an ${typeof part}`
      throw new EdgeError(
        'input_invalid',
        `Cannot read the array: it holds ${found}; wanted numbers, texts, true or false`,
      )
    }
  }
}
