import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { decodeInferRequest } from '../../src/http/infer-request.ts'
import { encodeInferResponse } from '../../src/http/infer-response.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import type { Tensor } from '../../src/runtime/backend.ts'
import type { Datatype } from '../../src/runtime/datatypes.ts'
import { tensor } from '../kit/fake-session.ts'
import { SEED } from '../kit/seed.ts'
import { ALL, binaryPart, IN_JSON, jsonPart } from './requests.ts'

const respond = (...args: Parameters<typeof encodeInferResponse>) => {
  const { body, headers } = encodeInferResponse(...args)
  return new Response(body, { headers })
}

const encode = (outputs: readonly Tensor[], isBinaryOutput: boolean, id = '') =>
  respond({ id, model: 'm', version: '1', outputs }, { outputs: undefined, isBinaryOutput })

/** Outputs have the form of inputs: what is answered can be sent back, and is then read as it was written. */
async function sendBack(response: Response): Promise<readonly Tensor[]> {
  const body = Buffer.from(await response.arrayBuffer())
  const at = body.indexOf('"outputs":')
  body.write('"inputs" :', at)
  const whole = Uint8Array.from(body)
  return decodeInferRequest(whole.buffer, response.headers.get('Inference-Header-Content-Length')).inputs
}

/** By value: of NaN there is one in JSON, and 0 has no sign there. */
const VALUES: Partial<Record<Datatype, (bytes: Uint8Array) => readonly number[]>> = {
  FP16: (bytes) => [...new Float16Array(bytes.slice().buffer)],
  FP32: (bytes) => [...new Float32Array(bytes.slice().buffer)],
  FP64: (bytes) => [...new Float64Array(bytes.slice().buffer)],
  BF16: (bytes) =>
    [...new Uint16Array(bytes.slice().buffer)].map(
      (half) => new Float32Array(Uint32Array.of(half * 65_536).buffer)[0] ?? 0,
    ),
}

function byValue({ bytes, ...rest }: Tensor) {
  const values = VALUES[rest.datatype]?.(bytes)
  return { ...rest, values: values?.map((value) => (value === 0 ? 0 : value)) ?? [...bytes] }
}

describe('what is answered is read back as it was', () => {
  test.each(IN_JSON)('%s in JSON', async (datatype) => {
    await fc.assert(
      fc.asyncProperty(jsonPart(datatype), async ({ tensor: output }) => {
        const [back] = await sendBack(encode([output], false))
        expect(back === undefined ? undefined : byValue(back)).toEqual(byValue(output))
      }),
      { seed: SEED, numRuns: 60 },
    )
  })

  test.each(ALL)('%s in binary', async (datatype) => {
    await fc.assert(
      fc.asyncProperty(binaryPart(datatype), async ({ tensor: output }) => {
        const response = encode([output], true)
        // Nothing to send is no binary part: then the JSON alone says so.
        fc.pre(output.bytes.length > 0)
        const [back] = await sendBack(response)
        expect(back && { ...back, bytes: [...back.bytes] }).toEqual({ ...output, bytes: [...output.bytes] })
      }),
      { seed: SEED, numRuns: 30 },
    )
  })

  test('the words that JSON does not have, and integers beyond 2^53', async () => {
    const floats = Float32Array.of(Number.NaN, Infinity, -Infinity, 0.1)
    const longs = BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)
    const response = encode(
      [
        { name: 'f', datatype: 'FP32', shape: [4], bytes: new Uint8Array(floats.buffer) },
        { name: 'l', datatype: 'INT64', shape: [2], bytes: new Uint8Array(longs.buffer) },
      ],
      false,
    )
    expect(await response.text()).toBe(
      '{"model_name":"m","model_version":"1","outputs":[' +
        '{"name":"f","datatype":"FP32","shape":[4],"data":[NaN,Infinity,-Infinity,0.10000000149011612]},' +
        '{"name":"l","datatype":"INT64","shape":[2],"data":[-9223372036854775808,9223372036854775807]}]}',
    )
  })
})

describe('the form of the answer', () => {
  const first = tensor('a', 'UINT8', [2], [1, 2])
  const second = tensor('b', 'BOOL', [], [1])

  test('in JSON it carries no parameters and says so', async () => {
    const response = encode([first, second], false, 'id "7"')
    expect(response.headers.get('Content-Type')).toBe('application/json')
    expect(response.headers.get('Inference-Header-Content-Length')).toBeNull()
    expect((await response.json()) as unknown).toEqual({
      id: 'id "7"',
      model_name: 'm',
      model_version: '1',
      outputs: [
        { name: 'a', datatype: 'UINT8', shape: [2], data: [1, 2] },
        { name: 'b', datatype: 'BOOL', shape: [], data: [true] },
      ],
    })
  })

  test('each output as it was asked for, the binary ones behind the JSON in their order', async () => {
    const wants = {
      outputs: [
        { name: 'b', isBinary: true },
        { name: 'c', isBinary: false },
        { name: 'a', isBinary: true },
      ],
      isBinaryOutput: false,
    }
    const outputs = [second, { ...first, name: 'c' }, first]
    const response = respond({ id: '', model: 'm', version: '1', outputs }, wants)
    const length = Number(response.headers.get('Inference-Header-Content-Length'))
    expect(response.headers.get('Content-Type')).toBe('application/octet-stream')
    const body = new Uint8Array(await response.arrayBuffer())
    expect(JSON.parse(Buffer.from(body.subarray(0, length)).toString()).outputs).toEqual([
      { name: 'b', datatype: 'BOOL', shape: [], parameters: { binary_data_size: 1 } },
      { name: 'c', datatype: 'UINT8', shape: [2], data: [1, 2] },
      { name: 'a', datatype: 'UINT8', shape: [2], parameters: { binary_data_size: 2 } },
    ])
    expect([...body.subarray(length)]).toEqual([1, 1, 2])
  })

  test('names of any characters stay what they are', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (name) => {
        const answer = (await encode([{ ...first, name }], false).json()) as { outputs: [{ name: string }] }
        expect(answer.outputs[0].name).toBe(name)
      }),
      { seed: SEED, numRuns: 50 },
    )
  })
})

describe('what has no form in JSON is refused with what to ask for', () => {
  test.each([
    ['a datatype', tensor('x', 'FP8E5M2', [1], [1]), 'FP8E5M2 has no form there'],
    [
      'bytes that are no UTF-8',
      tensor('x', 'BYTES', [2], [0, 0, 0, 0, 1, 0, 0, 0, 0xff]),
      'element 1 is not',
    ],
  ])('%s', async (_, output, message) => {
    const refused = () => encode([output], false)
    expect(refused).toThrow(EdgeError)
    expect(refused).toThrow(message)
    expect(refused).toThrow('"binary_data": true')
    expect((await encode([output], true).arrayBuffer()).byteLength).toBeGreaterThan(output.bytes.length)
  })
})
