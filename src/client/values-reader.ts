import { assert } from '../kit/assert.ts'
import { decodeValues } from './datatypes.ts'
import type { Reader } from './reader.ts'
import { countElements, type Tensor } from './tensor.ts'

const VALUES_SHOWN_MAX = 10
const VALUES_JSON_MAX = 1_000_000

/** An output without a hint, as it is; of several answers the last. */
export class ValuesReader implements Reader {
  #last: Tensor | undefined

  add(output: Tensor): void {
    this.#last = output
  }

  lines(): string[] {
    const { name, datatype, shape, bytes } = this.#expectLast()
    const values = Array.from(decodeValues(datatype, bytes))
    const shown = values.slice(0, VALUES_SHOWN_MAX).map(formatValue).join(', ')
    const rest = values.length > VALUES_SHOWN_MAX ? `, … (${countElements(shape)} values)` : ''
    return [`${name} ${datatype} [${shape.join(', ')}]: ${shown}${rest}`]
  }

  json(): Readonly<Record<string, unknown>> {
    const { datatype, shape, bytes } = this.#expectLast()
    const values = Array.from(decodeValues(datatype, bytes))
    const count = { values_total: values.length }
    return { as: 'values', datatype, shape, ...count, values: values.slice(0, VALUES_JSON_MAX) }
  }

  #expectLast(): Tensor {
    assert(this.#last !== undefined, 'a reader is made for the first answer that has its output')
    return this.#last
  }
}

function formatValue(value: number | bigint | boolean | string): string {
  if (typeof value === 'string') return JSON.stringify(value)
  return typeof value === 'number' && !Number.isInteger(value) ? value.toPrecision(6) : String(value)
}
