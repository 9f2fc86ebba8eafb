/** Triton's generate extension: one flat object in, one out. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { decodeGenerateRequest } from '../../src/http/generate-request.ts'
import { setLogLevel } from '../../src/kit/log.ts'
import type { TensorSpec } from '../../src/runtime/backend.ts'
import { stageApp } from '../kit/app-stage.ts'
import { spec } from '../kit/fake-session.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

const GENERATE = '/v2/models/echo/generate'

function decode(body: unknown, inputs: readonly TensorSpec[], batchSizeMax = 0) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const bytes = Uint8Array.from(Buffer.from(text))
  const signature = { inputs, outputs: [], unsupportedOutputs: [] }
  return decodeGenerateRequest(bytes.buffer, { batchSizeMax, session: { signature } })
}

function shapesOf(body: unknown, inputs: readonly TensorSpec[], batchSizeMax = 0) {
  return decode(body, inputs, batchSizeMax).inputs.map(({ name, shape }) => ({ name, shape }))
}

test('a list is answered with a list, by the names of input and output', async () => {
  const { ask, session } = await stageApp()
  expect(await ask('POST', GENERATE, { INPUT0: [1, 2, 3], id: 'seven' })).toEqual({
    status: 200,
    body: { id: 'seven', model_name: 'echo', model_version: '1', OUTPUT0: [1, 2, 3] },
  })
  expect(session.released).toBe(1)
})

test('one value is answered with one value, and no id with none', async () => {
  const { ask } = await stageApp()
  const { body } = await ask('POST', '/v2/models/echo/versions/1/generate', { INPUT0: 9 })
  expect(body).toEqual({ model_name: 'echo', model_version: '1', OUTPUT0: 9 })
})

test('a stream is one server-sent event of the same', async () => {
  const { send } = await stageApp()
  const response = await send('POST', `${GENERATE}_stream`, { body: '{"INPUT0":[4,5]}' })
  expect(response.headers.get('Content-Type')).toBe('text/event-stream; charset=utf-8')
  expect(await response.text()).toBe('data: {"model_name":"echo","model_version":"1","OUTPUT0":[4,5]}\n\n')
})

test.each(['generate', 'generate_stream'])(
  'what goes wrong in %s is a status and an error',
  async (route) => {
    const { ask } = await stageApp()
    const { status, body } = await ask('POST', `/v2/models/echo/${route}`, { INPUT0: 300 })
    expect({ status, body }).toEqual({
      status: 400,
      body: { error: expect.stringMatching(/^Cannot infer with "echo\/1": .*"INPUT0".*300/) },
    })
  },
)

describe('shapes', () => {
  const words = spec('words', 'BYTES', [-1, -1])
  test.each([
    ['a text for a model in batches is a batch of one', { words: 'a' }, [words], 8, [1, 1]],
    ['a list for a model in batches too', { words: ['a', 'b'] }, [words], 8, [1, 2]],
    ['nested arrays say it themselves', { words: [['a'], ['b']] }, [words], 8, [2, 1]],
    ['a list fills what is open', { x: [1, 2, 3, 4] }, [spec('x', 'FP32', [-1, 2])], 0, [2, 2]],
    ['a list fills what is fixed', { x: [1, 2, 3, 4] }, [spec('x', 'FP32', [2, 2])], 0, [2, 2]],
    ['a value is a scalar where the model has one', { x: 1 }, [spec('x', 'FP32', [])], 0, []],
    [
      'any rank will do where the model leaves it open',
      { x: [[1]] },
      [spec('x', 'FP32', undefined)],
      0,
      [1, 1],
    ],
  ])('%s', (_, body, inputs, batchSizeMax, shape) => {
    expect(shapesOf(body, inputs, batchSizeMax)).toEqual([{ name: inputs[0]?.name ?? '', shape }])
  })

  test('a list that does not fill them is refused', () => {
    expect(() => decode({ x: [1, 2, 3] }, [spec('x', 'FP32', [-1, 2])])).toThrow(
      'Cannot decode input "x": a list of 3 does not fill [-1,2], expected arrays nested like that',
    )
  })
})

describe('parameters', () => {
  const input = spec('x', 'FP32', [-1])

  test('beside the inputs or in an object of their own', () => {
    expect(decode({ x: 1, priority: 2 }, [input]).priority).toBe(2)
    expect(decode({ x: 1, parameters: { priority: 3, timeout: 5000 } }, [input])).toMatchObject({
      priority: 3,
      timeoutMs: 5,
    })
  })

  test('are inputs where the model calls one like that', () => {
    const decoded = decode({ id: 4, priority: 7 }, [
      spec('id', 'FP32', [-1]),
      spec('priority', 'INT32', [-1]),
    ])
    expect(decoded.inputs.map(({ name }) => name)).toEqual(['id', 'priority'])
    expect(decoded).toMatchObject({ id: '', priority: 0 })
  })

  test.each([
    [{ y: [1] }, 'Cannot decode the request: "y" is [1], and no input, expected one of "x"'],
    [{ triton_x: 1 }, 'parameter "triton_x" is reserved'],
    [{ id: 7 }, '"id" is 7, expected a string'],
    ['[1]', 'The request is [1], expected an object'],
    ['{', 'JSON'],
  ])('%p: refused', (body, message) => {
    expect(() => decode(body, [input])).toThrow(message)
  })
})

test('integers beyond 2^53 keep their digits', () => {
  const [tensor] = decode('{"x":9007199254740993}', [spec('x', 'INT64', [-1])]).inputs
  expect(new BigInt64Array((tensor?.bytes ?? new Uint8Array()).buffer)[0]).toBe(9_007_199_254_740_993n)
})
