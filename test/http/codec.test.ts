/** What is large is decoded and written on another thread, to the same result and in the same words. */
import { afterAll, describe, expect, test } from 'bun:test'
import { Codec } from '../../src/http/codec.ts'
import { WORK } from '../../src/http/codec-work.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import type { Tensor } from '../../src/runtime/backend.ts'

const codec = new Codec()
afterAll(() => codec.stop())

/** JSON that is large because of what the request says beside its inputs. */
const PADDING = `"parameters":{"padding":"${'x'.repeat(700_000)}"}`
const bodyOf = (text: string): ArrayBuffer => new Uint8Array(Buffer.from(text)).buffer
const large = (inputs: string) => `{"inputs":[${inputs}],${PADDING}}`
const input = (fields: string) => `{"name":"x","datatype":"FP32","shape":[2],${fields}}`

/** What is thrown, as a client would read it. */
async function outcomeOf(work: () => unknown): Promise<unknown> {
  try {
    return await work()
  } catch (error) {
    return error instanceof EdgeError ? { code: error.code, message: error.message } : error
  }
}

describe('infer requests', () => {
  test.each([
    ['a flat list', large(input('"data":[1,2.5]'))],
    ['integers beyond 2^53', large('{"name":"x","datatype":"INT64","shape":[1],"data":[9007199254740993]}')],
    ['texts', large('{"name":"x","datatype":"BYTES","shape":[2],"data":["é",""]}')],
    [
      'an input in shared memory',
      large(input('"parameters":{"shared_memory_region":"r","shared_memory_byte_size":8}')),
    ],
    [
      'outputs',
      large(input('"data":[1,2]')).replace('}', ',"x":1}').replace('{', '{"outputs":[{"name":"y"}],'),
    ],
    ['no JSON', `${large(input('"data":[1,2]'))}]`],
    ['an element that does not fit', large('{"name":"x","datatype":"UINT8","shape":[1],"data":[300]}')],
    ['a missing name', large('{}')],
  ])('%s', async (_, text) => {
    const here = await outcomeOf(() => WORK.infer({ body: bodyOf(text), headerLength: null }))
    const decoding = outcomeOf(() => codec.decode('infer', { body: bodyOf(text), headerLength: null }))
    expect(await decoding).toEqual(here)
  })

  test('binary data behind large JSON', async () => {
    const head = large(input('"parameters":{"binary_data_size":8}'))
    const body = bodyOf(`${head}ABCDEFGH`)
    const decoding = codec.decode('infer', { body, headerLength: String(head.length) }, head.length)
    expect(decoding).toBeInstanceOf(Promise)
    expect(Buffer.from((await decoding).inputs[0]?.bytes ?? []).toString()).toBe('ABCDEFGH')
  })

  test('small ones are decoded at once', () => {
    const body = bodyOf(`{"inputs":[${input('"data":[1,2]')}]}`)
    expect(codec.decode('infer', { body, headerLength: null })).not.toBeInstanceOf(Promise)
  })
})

test('small requests are decoded while a large one is', async () => {
  const events: string[] = []
  const numbers = Array(2_000_000).fill('0.123456789').join(',')
  const body = bodyOf(`{"inputs":[{"name":"x","datatype":"FP32","shape":[2000000],"data":[${numbers}]}]}`)
  const decoding = codec.decode('infer', { body, headerLength: null })
  const decoded = Promise.resolve(decoding).then(({ inputs }) => {
    events.push('large')
    expect(inputs[0]?.bytes.length).toBe(8_000_000)
  })
  for (let index = 0; index < 10; index += 1) {
    void codec.decode('infer', { body: bodyOf(`{"inputs":[${input('"data":[1,2]')}]}`), headerLength: null })
    events.push('small')
    await new Promise((resolve) => setImmediate(resolve))
  }
  await decoded
  expect(events).toEqual([...Array(10).fill('small'), 'large'])
})

describe('answers', () => {
  const output = (name: string, length: number): Tensor => {
    const floats = Float32Array.from({ length }, (_, index) => Math.sin(index) * 100)
    return { name, datatype: 'FP32', shape: [1, length], bytes: new Uint8Array(floats.buffer) }
  }
  const outputs = [output('large', 50_000), output('small', 3)]
  const wanting = (isBinary: boolean, classes?: number) => ({ name: 'large', isBinary, classes })
  const named = { id: '7', model: 'm', version: '1', outputs }

  test.each([
    ['in JSON', { outputs: undefined, isBinaryOutput: false }],
    ['one in binary', { outputs: [wanting(false), wanting(true)], isBinaryOutput: true }],
    ['classes', { outputs: [wanting(true, 3), wanting(false)], isBinaryOutput: false }],
  ])('%s', async (_, wants) => {
    const labels = wants.outputs === undefined ? [] : [['a', 'b'], undefined]
    for (const form of ['infer', 'flat', 'event'] as const) {
      const parts = { form, ...named, wants, labels }
      const here = WORK.answer(parts)
      const encoding = codec.encode(parts)
      expect(encoding).toBeInstanceOf(Promise)
      const { body, headers } = await encoding
      expect(headers).toEqual(here.headers)
      expect(Buffer.from(body as Uint8Array)).toEqual(Buffer.from(here.body as string))
    }
  })

  test('what is in shared memory already is only named', async () => {
    const shared = { ...wanting(false), name: 'small', shared: new Uint8Array(8) }
    const parts = {
      form: 'infer' as const,
      ...named,
      wants: { outputs: [wanting(false), shared], isBinaryOutput: false },
      labels: [],
    }
    const { body } = await codec.encode(parts)
    expect(Buffer.from(body as Uint8Array).toString()).toBe(WORK.answer(parts).body as string)
  })

  test('small ones are written at once', () => {
    const parts = { form: 'infer' as const, ...named, outputs: [output('small', 3)], labels: [] }
    expect(
      codec.encode({ ...parts, wants: { outputs: undefined, isBinaryOutput: false } }),
    ).not.toBeInstanceOf(Promise)
  })
})

test('models that come within a load', async () => {
  const file = Buffer.alloc(600_000, 7)
  const text = JSON.stringify({ parameters: { config: '{}', 'file:1/model.onnx': file.toString('base64') } })
  const loading = codec.decode('load', { body: bodyOf(text), model: 'm' })
  expect(loading).toBeInstanceOf(Promise)
  const sent = await loading
  expect(sent?.config).toBe('{}')
  expect(Buffer.from(sent?.files.get('1/model.onnx') ?? [])).toEqual(file)
})

test('what cannot wait any more is refused', async () => {
  const busy = new Codec()
  const ask = () => outcomeOf(() => busy.decode('infer', { body: bodyOf(large('{}')), headerLength: null }))
  const answers = Array.from({ length: 300 }, ask)
  const refused = (await Promise.all(answers)).filter(
    (each) => (each as { code?: string }).code === 'queue_full',
  )
  expect(refused.length).toBe(300 - 256 - 2)
  busy.stop()
})
