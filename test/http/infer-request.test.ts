import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type DecodedRequest, decodeInferRequest } from '../../src/http/infer-request.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { byteLength, elementCount } from '../../src/runtime/datatypes.ts'
import { SEED } from '../kit/seed.ts'
import { ALL, binaryPart, IN_JSON, jsonPart, type Part, type WholeRequest, wholeRequest } from './requests.ts'

function decode(json: string, options: { binary?: readonly number[]; headerLength?: string | null } = {}) {
  const head = Buffer.from(json)
  const body = Uint8Array.from([...head, ...(options.binary ?? [])])
  const { headerLength = options.binary === undefined ? null : String(head.length) } = options
  return decodeInferRequest(body.buffer, headerLength)
}

function refusal(decoding: () => unknown): string {
  try {
    decoding()
  } catch (error) {
    expect(error).toBeInstanceOf(EdgeError)
    expect(error).toMatchObject({ code: 'input_invalid' })
    return (error as Error).message
  }
  throw new Error('Nothing was refused')
}

/** A NaN has many bit patterns; in JSON there is one. */
const NANS: Partial<Record<string, (bytes: Uint8Array) => unknown>> = {
  FP16: (bytes) => [...new Float16Array(bytes.slice().buffer)],
  FP32: (bytes) => [...new Float32Array(bytes.slice().buffer)],
  FP64: (bytes) => [...new Float64Array(bytes.slice().buffer)],
}

function plain({ inputs }: Pick<DecodedRequest, 'inputs'>) {
  return inputs.map((tensor) => ({
    ...tensor,
    bytes: NANS[tensor.datatype]?.(tensor.bytes) ?? [...tensor.bytes],
  }))
}

function expectSame(part: Part): void {
  const json = `{"inputs":[${part.json}]}`
  const decoded = part.binary.length > 0 ? decode(json, { binary: part.binary }) : decode(json)
  expect(plain(decoded)).toEqual(plain({ inputs: [part.tensor] }))
}

describe('any tensor comes out as it went in', () => {
  test.each(IN_JSON)('%s in JSON', (datatype) => {
    fc.assert(fc.property(jsonPart(datatype), expectSame), { seed: SEED, numRuns: 60 })
  })

  test.each(ALL)('%s in binary', (datatype) => {
    fc.assert(fc.property(binaryPart(datatype), expectSame), { seed: SEED, numRuns: 30 })
  })

  test('many of them, in JSON and in binary side by side', () => {
    const check = ({ body, headerLength, tensors }: WholeRequest) =>
      expect(plain(decodeInferRequest(body.buffer, headerLength))).toEqual(plain({ inputs: tensors }))
    fc.assert(fc.property(wholeRequest, check), { seed: SEED, numRuns: 200 })
  })
})

describe('what stands beside the tensors', () => {
  test('nothing: no id, all outputs, in JSON', () => {
    const nothing = {
      id: '',
      inputs: [],
      outputs: undefined,
      isBinaryOutput: false,
      priority: 0,
      timeoutMs: 0,
      isVolatile: false,
    }
    expect(decode('{"inputs":[]}')).toEqual(nothing)
  })

  test('a priority, and a timeout in microseconds', () => {
    const json = '{"inputs":[],"parameters":{"priority":2,"timeout":2500}}'
    expect(decode(json)).toMatchObject({ priority: 2, timeoutMs: 2.5 })
    for (const wrong of ['-1', '1.5', '"1"', 'true']) {
      expect(() => decode(`{"inputs":[],"parameters":{"priority":${wrong}}}`)).toThrow(
        'expected an integer of 0 or more',
      )
    }
  })

  test('an id, and outputs that say for themselves how they want to be', () => {
    const json =
      '{"id":"a","inputs":[],"outputs":[{"name":"x"},{"name":"y","parameters":{"binary_data":false}}],"parameters":{"binary_data_output":true}}'
    expect(decode(json)).toMatchObject({
      id: 'a',
      outputs: [
        { name: 'x', isBinary: true },
        { name: 'y', isBinary: false },
      ],
      isBinaryOutput: true,
    })
  })

  test('what nobody knows is left alone', () => {
    expect(decode('{"inputs":[],"parameters":{"x":1},"y":[{}]}').inputs).toEqual([])
  })
})

const input = (fields: Readonly<Record<string, unknown>>) =>
  JSON.stringify({ inputs: [{ name: 'a', datatype: 'INT32', shape: [1], data: [1], ...fields }] })

describe('refused, each in its own words', () => {
  test.each<[string, string]>([
    ['', 'Cannot parse JSON'],
    ['[]', 'The request is []'],
    ['7', 'The request is 7'],
    ['{}', '"inputs" is missing'],
    ['{"inputs":{}}', '"inputs" is an object'],
    ['{"inputs":[1]}', 'inputs[0] is 1'],
    ['{"inputs":[],"id":5}', '"id" is 5'],
    ['{"inputs":[],"outputs":{}}', '"outputs" is an object'],
    ['{"inputs":[],"outputs":[{}]}', 'outputs[0]: it has no "name"'],
    ['{"inputs":[],"outputs":[{"name":"x"},{"name":"x"}]}', "output 'x' already exists in request"],
    ['{"inputs":[],"outputs":[{"name":"x","parameters":{"binary_data":1}}]}', '"binary_data" is 1'],
    ['{"inputs":[],"parameters":{"binary_data_output":"yes"}}', '"binary_data_output" is "yes"'],
    ['{"inputs":[],"parameters":{"triton_x":1}}', 'parameter "triton_x" is reserved'],
    ['{"inputs":[],"parameters":[]}', '"parameters" of The request is []'],
    [input({ name: '' }), 'inputs[0]: it has no "name"'],
    [input({ name: 5 }), 'inputs[0]: it has no "name"'],
    [input({ datatype: 'INT31' }), 'datatype is "INT31", expected one of FP32'],
    [input({ datatype: undefined }), 'datatype is missing'],
    [input({ datatype: 'constructor' }), 'datatype is "constructor"'],
    [input({ shape: undefined }), '"shape" of input "a" is missing'],
    [input({ shape: [-1] }), 'shape is [-1]'],
    [input({ shape: [0.5] }), 'shape is [0.5]'],
    [input({ shape: ['1'] }), 'shape is ["1"]'],
    [input({ shape: [[1]] }), 'shape is [an array]'],
    [input({ shape: [2 ** 31 + 1] }), 'overflows'],
    [input({ shape: [2 ** 31, 2] }), 'overflows'],
    [input({ shape: [0, 2 ** 40] }), 'overflows'],
    [input({ shape: [2 ** 31] }), 'more than'],
    [input({ data: undefined }), 'it has neither "data" nor binary_data_size'],
    [input({ parameters: { binary_data_size: 4 } }), 'it has both'],
    [input({ data: undefined, parameters: { shared_memory_region: 'x' } }), 'http.shared_memory = true'],
    [input({ data: 1 }), '"data" of input "a" is 1'],
    [input({ data: [] }), '"data" holds 0 elements, its shape has 1'],
    [input({ data: [1, 2] }), '"data" holds more than the 1 elements'],
    [input({ shape: [3], data: [1, 2] }), '"data" holds 2 elements, its shape has 3'],
    [input({ data: ['1'] }), 'element 0 is "1", expected INT32'],
    [input({ data: [null] }), 'element 0 is null'],
    [input({ data: [{}] }), 'element 0 is an object'],
    [
      input({ datatype: 'INT64', data: [[{ a: 1 }]] }).replace('"a":1}', '"a":1152921504606846977}'),
      'an object',
    ],
    [input({ data: [true] }), 'element 0 is true'],
    [input({ datatype: 'FP8E5M2', data: [1] }), 'FP8E5M2 has no form in JSON'],
  ])('%s', (json, message) => {
    expect(refusal(() => decode(json))).toContain(message)
  })

  test('bytes that are no UTF-8', () => {
    expect(refusal(() => decodeInferRequest(Uint8Array.of(0x7b, 0xff, 0x7d).buffer, null))).toContain('UTF-8')
  })
})

describe('at the bound of its datatype an element is taken, one past it refused', () => {
  test.each([
    ['INT8', '-128', '-129'],
    ['INT8', '127', '128'],
    ['UINT8', '0', '-1'],
    ['UINT8', '255', '256'],
    ['INT16', '-32768', '-32769'],
    ['UINT16', '65535', '65536'],
    ['INT32', '2147483647', '2147483648'],
    ['INT32', '-2147483648', '-2147483649'],
    ['UINT32', '4294967295', '4294967296'],
    ['INT64', '9223372036854775807', '9223372036854775808'],
    ['INT64', '-9223372036854775808', '-9223372036854775809'],
    ['UINT64', '18446744073709551615', '18446744073709551616'],
    ['UINT64', '0', '-1'],
    ['BOOL', '1', '2'],
    ['INT32', '1.0', '1.5'],
    ['INT64', '1.0', '1.5'],
    ['INT64', '1e3', '1e30'],
    ['INT32', '-0', 'NaN'],
    ['INT64', '-0', 'Infinity'],
  ])('%s: %s and %s', (datatype, at, past) => {
    const json = (element: string) =>
      `{"inputs":[{"name":"a","datatype":"${datatype}","shape":[1],"data":[${element}]}]}`
    expect(decode(json(at)).inputs.length).toBe(1)
    expect(refusal(() => decode(json(past)))).toContain(`expected ${datatype}`)
  })
})

describe('the binary part', () => {
  const json = (size: unknown, datatype = 'INT32', shape = '[1]') =>
    `{"inputs":[{"name":"a","datatype":"${datatype}","shape":${shape},"parameters":{"binary_data_size":${size}}}]}`

  test('is a view into the body, not a copy', () => {
    const head = Buffer.from(json(4))
    const body = Uint8Array.from([...head, 1, 2, 3, 4])
    const [tensor] = decodeInferRequest(body.buffer, String(head.length)).inputs
    expect(tensor?.bytes.buffer).toBe(body.buffer)
    expect(tensor?.bytes.byteOffset).toBe(head.length)
  })

  test.each<[string, string, number[], string]>([
    ['a byte too few', json(4), [1, 2, 3], 'expecting 4 bytes of binary data, 3 left'],
    ['a byte too many', json(4), [1, 2, 3, 4, 5], 'unexpected additional input data: 1 bytes'],
    ['a size that is not that of the shape', json(3), [1, 2, 3], 'is 3, expected 4 for 1 elements of INT32'],
    ['a size below nothing', json(-4), [1, 2, 3, 4], 'binary_data_size is -4'],
    ['a size in parts', json(4.5), [1, 2, 3, 4], 'binary_data_size is 4.5'],
    ['a size in words', json('"4"'), [1, 2, 3, 4], 'binary_data_size is "4"'],
    ['strings without room for their lengths', json(7, 'BYTES', '[2]'), [0, 0, 0, 0, 0, 0, 0], 'at least 8'],
    ['a shape beyond all bytes', json(4, 'BYTES', '[2147483648]'), [0, 0, 0, 0], 'at least 8589934592'],
  ])('with %s is refused', (_, head, binary, message) => {
    expect(refusal(() => decode(head, { binary }))).toContain(message)
  })

  test.each(['0', '-1', '+5', '1.5', 'NaN', ' 14', '14 ', '0x0e', '99999999999', '', '15'])(
    'the length of the JSON as %p is refused',
    (headerLength) => {
      expect(refusal(() => decode('{"inputs":[] }', { headerLength }))).toContain(
        `Inference-Header-Content-Length is "${headerLength}", expected the length of the JSON: 1 to 14 bytes`,
      )
    },
  )

  test('the length of the whole body is one without a binary part', () => {
    expect(decode('{"inputs":[] }', { headerLength: '14' }).inputs).toEqual([])
  })
})

test.each(['FP32', 'FP64', 'INT64', 'BF16', 'BOOL', 'BYTES'])(
  'a shape of %s beyond all memory is refused before any is taken',
  (datatype) => {
    expect(refusal(() => decode(input({ datatype, shape: [2 ** 31] })))).toContain('2147483648 elements')
  },
)

test.each([
  ['FP32', '1'],
  ['INT64', '1'],
  ['BOOL', 'true'],
  ['BYTES', '"x"'],
  ['BF16', '1'],
])('%s nested a hundred deep is read, a level more or a million is not', (datatype, leaf) => {
  const json = (depth: number) =>
    `{"inputs":[{"name":"a","datatype":"${datatype}","shape":[1],"data":${'['.repeat(depth)}${leaf}${']'.repeat(depth)}}]}`
  expect(decode(json(100)).inputs.length).toBe(1)
  for (const depth of [101, 1_000_000]) expect(refusal(() => decode(json(depth)))).toContain('depth')
})

describe('whatever is done to a request, it is decoded or refused', () => {
  const TOKENS = [
    ...['null', 'NaN', '-Infinity', '1e999', '9007199254740993', '2147483648', '-1', '0', '0.5', '""', '"a"'],
    ...[
      '[]',
      '{}',
      '[',
      ']',
      '{',
      '}',
      ',',
      ':',
      '"',
      '\\',
      '"INT64"',
      '"BYTES"',
      '"FP64"',
      '"UINT4"',
      '\u0000',
    ],
    ...['"name"', '"shape"', '"data"', '"datatype"', '"parameters"', '"binary_data_size"', '"__proto__"'],
  ]

  type Mutation = (request: WholeRequest) => WholeRequest
  const place = fc.nat(1_000_000)
  const onBody =
    (change: (body: Buffer, at: number) => Uint8Array) =>
    (at: number): Mutation =>
    (request) => {
      const body = Buffer.from(request.body)
      return { ...request, body: Uint8Array.from(change(body, body.length === 0 ? 0 : at % body.length)) }
    }

  const flip = fc.tuple(place, fc.nat(7)).map(([at, bit]) =>
    onBody((body, where) => {
      if (body.length > 0) body[where] = (body[where] ?? 0) ^ (1 << bit)
      return body
    })(at),
  )
  /** Behind the JSON any bytes will do. */
  const flipBinary = place.map(
    (at): Mutation =>
      (request) => {
        const start = Number(request.headerLength ?? request.body.length)
        if (!(start < request.body.length)) return request
        const body = Uint8Array.from(request.body)
        const where = start + (at % (body.length - start))
        body[where] = (body[where] ?? 0) ^ 0xff
        return { ...request, body }
      },
  )
  const truncate = place.map(onBody((body, at) => body.subarray(0, at)))
  const repeat = fc
    .tuple(place, fc.nat(20))
    .map(([at, length]) =>
      onBody((body, where) => Buffer.concat([body.subarray(0, where + length), body.subarray(where)]))(at),
    )
  /** Puts another token in the place of one, and keeps the length of the JSON right, so that it is read at all. */
  const swap = fc.tuple(place, fc.constantFrom(...TOKENS)).map(
    ([at, token]): Mutation =>
      (request) => {
        const length = request.headerLength === null ? request.body.length : Number(request.headerLength)
        if (!(length <= request.body.length)) return request
        const text = Buffer.from(request.body.subarray(0, length)).toString('latin1')
        const tokens = [...text.matchAll(/"(?:[^"\\]|\\.)*"|[\w.+-]+|[[\]{}:,]/g)]
        const old = tokens[tokens.length === 0 ? 0 : at % tokens.length]
        if (old === undefined) return request
        const json = Buffer.from(
          text.slice(0, old.index) + token + text.slice(old.index + old[0].length),
          'latin1',
        )
        const headerLength = request.headerLength === null ? null : String(json.length)
        return {
          ...request,
          headerLength,
          body: Uint8Array.from([...json, ...request.body.subarray(length)]),
        }
      },
  )
  const header = fc.oneof(fc.nat(300).map(String), fc.constantFrom('', '-1', '1e2', '4294967297', 'x')).map(
    (headerLength): Mutation =>
      (request) => ({ ...request, headerLength }),
  )

  test('with what is decoded whole', () => {
    const mutations = fc.array(fc.oneof(flip, flipBinary, flipBinary, truncate, repeat, swap, swap, header), {
      minLength: 1,
      maxLength: 3,
    })
    const counts = { decoded: 0, refused: 0 }
    fc.assert(
      fc.property(wholeRequest, mutations, (request, changes) => {
        const { body, headerLength } = changes.reduce((changed, change) => change(changed), request)
        try {
          for (const { datatype, shape, bytes } of decodeInferRequest(body.buffer, headerLength).inputs) {
            const elements = elementCount(shape)
            if (datatype === 'BYTES') expect(bytes.length).toBeGreaterThanOrEqual(4 * elements)
            else expect(bytes.length).toBe(byteLength(datatype, elements))
          }
          counts.decoded += 1
        } catch (error) {
          if (!(error instanceof EdgeError)) throw error
          expect(error.code).toBe('input_invalid')
          counts.refused += 1
        }
      }),
      { seed: SEED, numRuns: 3000 },
    )
    // The fuzzer is worth something only if it gets through to both ends.
    expect(counts.decoded).toBeGreaterThan(50)
    expect(counts.refused).toBeGreaterThan(500)
  })
})
