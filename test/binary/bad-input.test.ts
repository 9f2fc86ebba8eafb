/** What a server must refuse, what it must not lose, and that it serves on after either. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { deflateSync, gzipSync } from 'node:zlib'
import { BINARY, createFolder, type Running, startServing, writeModel } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { encodeBinary, floats, inferBinary, inferJson, tensorOf } from '../kit/v2.ts'

const BODY_BYTES_MAX = 1024 * 1024
const folder = await createFolder()
const models = join(folder.path, 'models')
let server: Running

const WHOLE: Record<string, Uint8Array> = {
  simple: zoo.simple(),
  'of-uint8': zoo.identity('UINT8'),
  'of-int32': zoo.identity('INT32'),
  'of-int64': zoo.identity('INT64'),
  'of-uint64': zoo.identity('UINT64'),
  'of-bool': zoo.identity('BOOL'),
  'of-fp16': zoo.identity('FLOAT16'),
  'of-bf16': zoo.identity('BFLOAT16'),
  'of-fp32': zoo.identity('FLOAT'),
  'of-fp64': zoo.identity('DOUBLE'),
  'of-bytes': zoo.stringIdentity(),
  scalar: zoo.identity('INT64', []),
  'two-open': zoo.identity('FLOAT', ['n', 'm']),
  mixed: zoo.mixed(),
  divide: zoo.divide(),
  'fails-on-index': zoo.failsOnIndex(),
  'optional-input': zoo.optionalInput(),
  'map-output': zoo.mapOutput(),
  'sequence-output': zoo.sequenceOutput(),
}

beforeAll(async () => {
  for (const [name, onnx] of Object.entries(WHOLE)) await writeModel(models, name, { onnx })
  // 10 comes after 9, though "9" comes after "10".
  await writeModel(models, 'versioned', { onnx: zoo.identity('INT32'), version: '9' })
  await writeModel(models, 'versioned', {
    onnx: zoo.identity('FLOAT'),
    version: '10',
    config: 'version_policy = "all"',
  })
  await writeModel(models, 'broken-noise', { onnx: new TextEncoder().encode('this is not a model') })
  await writeModel(models, 'broken-empty', { onnx: new Uint8Array(0) })
  await writeModel(models, 'broken-truncated', { onnx: zoo.simple().slice(0, 100) })
  await writeModel(models, 'broken-config', { onnx: zoo.simple(), config: 'verson_policy = "all"' })
  await mkdir(join(models, 'broken-no-version'), { recursive: true })
  await mkdir(join(models, 'broken-no-file', '1'), { recursive: true })
  await Bun.write(join(folder.path, 'limpet.toml'), `[http]\nbody_bytes_max = ${BODY_BYTES_MAX}\n`)
  const args = ['--models', models, '--port', '0', '--config', join(folder.path, 'limpet.toml')]
  server = await startServing(folder.path, { command: [BINARY, 'serve', ...args] })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

type Body = NonNullable<RequestInit['body']>

async function ask(path: string, init: RequestInit = {}) {
  const response = await fetch(`${server.url}${path}`, { method: 'POST', ...init })
  const text = await response.text()
  return { status: response.status, text, headers: response.headers }
}

const infer = (model: string, body: Body, headers: Record<string, string> = {}) =>
  ask(`/v2/models/${model}/infer`, { body, headers })

/** Refused with this status, in words that say all of this; and a good request is answered after it. */
async function expectRefusal(
  came: { status: number; text: string },
  { status, says }: { status: number; says: readonly string[] },
): Promise<void> {
  expect({ status: came.status, text: came.text.slice(0, 300) }).toEqual({ status, text: expect.any(String) })
  const { error, ...more } = JSON.parse(came.text) as { error: unknown }
  expect(more).toEqual({})
  for (const words of says) expect(error).toContain(words)
  expect((error as string).length).toBeLessThan(1000)
  await expectGoodAnswer()
}

async function expectGoodAnswer(): Promise<void> {
  const { status, text } = await infer('simple', of(int32('INPUT0', 1), int32('INPUT1', 2)))
  expect(status).toBe(200)
  expect(text).toContain(`"data":[${Array(16).fill(3)}]`)
}

/** A request; a tensor may be any text, right or wrong. */
const of = (...inputs: string[]) => `{"inputs":[${inputs.join(',')}]}`
const input = (datatype: string, shape: string, data: string, name = 'INPUT0') =>
  `{"name":"${name}","datatype":"${datatype}","shape":${shape},"data":${data}}`
const int32 = (name: string, value: number) => input('INT32', '[1,16]', `[${Array(16).fill(value)}]`, name)
const two = (first: string) => of(first, int32('INPUT1', 2))

type Case = readonly [claim: string, model: string, body: string, says: readonly string[]]

const WRONG_TENSORS: Case[] = [
  [
    'a wrong datatype',
    'simple',
    two(input('FP32', '[1,16]', `[${Array(16).fill(1)}]`)),
    ['simple/1', '"INPUT0"', 'FP32 [1,16]', 'INT32 [batch,16]'],
  ],
  [
    'a wrong rank',
    'simple',
    two(input('INT32', '[16]', `[${Array(16).fill(1)}]`)),
    ['simple/1', '"INPUT0"', 'INT32 [16]', 'INT32 [batch,16]'],
  ],
  [
    'a wrong dimension',
    'simple',
    two(input('INT32', '[1,8]', `[${Array(8).fill(1)}]`)),
    ['simple/1', '"INPUT0"', 'INT32 [1,8]', 'INT32 [batch,16]'],
  ],
  ['an unknown datatype', 'simple', two(input('FLOAT', '[1]', '[1]')), ['"INPUT0"', '"FLOAT"', 'INT32']],
  [
    'a negative dimension',
    'simple',
    two(input('INT32', '[-1,16]', '[]')),
    ['"INPUT0"', '[-1,16]', '0 or more'],
  ],
  ['a broken dimension', 'simple', two(input('INT32', '[1.5,16]', '[]')), ['"INPUT0"', '[1.5,16]']],
  [
    'a shape that overflows',
    'two-open',
    of(input('FP32', `[${2 ** 40},${2 ** 40}]`, '[]')),
    ['"INPUT0"', `${2 ** 40}`, 'overflows'],
  ],
  [
    'an empty shape that overflows',
    'two-open',
    of(input('FP32', '[0,1152921504606846976]', '[]')),
    ['"INPUT0"', 'shape'],
  ],
  [
    'a dimension of 2^53 - 1 beside a 0',
    'two-open',
    of(input('FP32', `[0,${2 ** 53 - 1}]`, '[]')),
    ['"INPUT0"', `${2 ** 53 - 1}`, 'overflows'],
  ],
  [
    'a shape of a billion elements without them',
    'of-fp32',
    of(input('FP32', '[1000000000]', '[1]')),
    ['"INPUT0"', '1000000000 elements', '80 bytes'],
  ],
  ['a shape that is no array', 'of-fp32', of(input('FP32', '3', '[1,2,3]')), ['"INPUT0"', '3', 'an array']],
  ['a missing input', 'simple', of(int32('INPUT0', 1)), ['simple/1', 'missing "INPUT1"']],
  ['no inputs at all', 'simple', of(), ['simple/1', 'missing "INPUT0", "INPUT1"']],
  [
    'an extra input',
    'simple',
    of(int32('INPUT0', 1), int32('INPUT1', 2), int32('INPUT2', 3)),
    ['simple/1', 'unknown "INPUT2"'],
  ],
  ['an input twice', 'simple', of(int32('INPUT0', 1), int32('INPUT0', 2)), ['simple/1', '"INPUT0"', 'twice']],
  ['"data" that is too short', 'of-fp32', of(input('FP32', '[3]', '[1,2]')), ['"INPUT0"', '2 elements', '3']],
  [
    '"data" that is too long',
    'of-fp32',
    of(input('FP32', '[3]', '[1,2,3,4]')),
    ['"INPUT0"', 'more than the 3'],
  ],
  ['"data" that is no array', 'of-fp32', of(input('FP32', '[1]', '1')), ['"INPUT0"', 'an array']],
  [
    'neither "data" nor binary data',
    'of-fp32',
    of('{"name":"INPUT0","datatype":"FP32","shape":[1]}'),
    ['"INPUT0"', 'neither'],
  ],
  [
    '300 for UINT8',
    'of-uint8',
    of(input('UINT8', '[2]', '[1,300]')),
    ['"INPUT0"', 'element 1 is 300', 'UINT8'],
  ],
  ['-1 for UINT8', 'of-uint8', of(input('UINT8', '[1]', '[-1]')), ['"INPUT0"', 'element 0 is -1', 'UINT8']],
  [
    '1.5 for INT32',
    'of-int32',
    of(input('INT32', '[1]', '[1.5]')),
    ['"INPUT0"', 'element 0 is 1.5', 'INT32'],
  ],
  ['NaN for INT32', 'of-int32', of(input('INT32', '[1]', '[NaN]')), ['"INPUT0"', 'element 0', 'INT32']],
  [
    '2^63 for INT64',
    'of-int64',
    of(input('INT64', '[1]', '[9223372036854775808]')),
    ['"INPUT0"', '9223372036854775808', 'INT64'],
  ],
  [
    '2^64 for UINT64',
    'of-uint64',
    of(input('UINT64', '[1]', '[18446744073709551616]')),
    ['"INPUT0"', '18446744073709551616', 'UINT64'],
  ],
  ['-1 for UINT64', 'of-uint64', of(input('UINT64', '[1]', '[-1]')), ['"INPUT0"', '-1', 'UINT64']],
  ['2 for BOOL', 'of-bool', of(input('BOOL', '[1]', '[2]')), ['"INPUT0"', 'element 0 is 2', 'BOOL']],
  ['"x" for FP32', 'of-fp32', of(input('FP32', '[1]', '["x"]')), ['"INPUT0"', 'element 0 is "x"', 'FP32']],
  ['null for FP32', 'of-fp32', of(input('FP32', '[1]', '[null]')), ['"INPUT0"', 'element 0 is null', 'FP32']],
  ['1 for BYTES', 'of-bytes', of(input('BYTES', '[1]', '[1]')), ['"INPUT0"', 'element 0 is 1', 'BYTES']],
  [
    'an index out of range inside the model',
    'fails-on-index',
    of(input('INT64', '[1]', '[7]')),
    ['fails-on-index', '7', '-3,2'],
  ],
  [
    'two sizes for one open dimension',
    'divide',
    of(input('FP32', '[4]', '[1,2,3,4]'), input('FP32', '[5]', '[1,2,3,4,5]', 'INPUT1')),
    ['divide/1', '"n" is 4 in input "INPUT0" and 5 in "INPUT1"'],
  ],
]

const DEEP = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
const output = (...names: string[]) =>
  `{"inputs":[${input('FP32', '[1]', '[1]')}],"outputs":[${names.map((name) => `{"name":"${name}"}`)}]}`

const WRONG_REQUESTS: Case[] = [
  ['an empty body', 'simple', '', ['JSON']],
  ['what is not JSON', 'simple', 'hello', ['JSON', 'character 0', 'hello']],
  ['truncated JSON', 'simple', of(int32('INPUT0', 1)).slice(0, -10), ['JSON', 'the end']],
  ['something after the JSON', 'simple', `${of(int32('INPUT0', 1))} x`, ['JSON', 'nothing more']],
  ['an array', 'simple', '[]', ['The request', 'an object']],
  ['no "inputs"', 'simple', '{}', ['"inputs"', 'missing', 'an array']],
  ['"inputs" that is no array', 'simple', '{"inputs":{"INPUT0":[1]}}', ['"inputs"', 'an array']],
  ['an input that is no object', 'simple', '{"inputs":[null]}', ['inputs[0]', 'null', 'an object']],
  ['an input without a name', 'simple', '{"inputs":[{}]}', ['inputs[0]', '"name"']],
  [
    'an id that is no string',
    'of-fp32',
    `{"id":7,"inputs":[${input('FP32', '[1]', '[1]')}]}`,
    ['"id"', '7', 'a string'],
  ],
  [
    'an output that the model does not have',
    'of-fp32',
    output('OUTPUT7'),
    ['of-fp32/1', '"OUTPUT7"', '"OUTPUT0"'],
  ],
  ['an output twice', 'of-fp32', output('OUTPUT0', 'OUTPUT0'), ["'OUTPUT0'", 'already']],
  [
    'an output that is a sequence of maps',
    'map-output',
    `{"inputs":[${input('FP32', '[1,3]', '[1,2,3]')}],"outputs":[{"name":"OUTPUT1"}]}`,
    ['map-output/1', '"OUTPUT1"', 'sequence', '"OUTPUT0"'],
  ],
  ['JSON nested 100,000 deep', 'of-fp32', DEEP, ['The request', 'an object']],
  ['"inputs" nested 100,000 deep', 'of-fp32', `{"inputs":${DEEP}}`, ['inputs[0]', 'an object']],
  ['"data" of numbers nested 100,000 deep', 'of-fp32', of(input('FP32', '[1]', DEEP)), ['JSON nesting']],
  [
    '"data" of long integers nested 100,000 deep',
    'of-int64',
    of(input('INT64', '[1]', DEEP)),
    ['JSON nesting'],
  ],
  ['"data" of strings nested 100,000 deep', 'of-bytes', of(input('BYTES', '[1]', DEEP)), ['JSON nesting']],
  ['a shape nested 100,000 deep', 'of-fp32', of(input('FP32', DEEP, '[1]')), ['"INPUT0"', 'shape']],
  [
    'parameters nested 100,000 deep',
    'of-fp32',
    `{"parameters":{"a":${DEEP}},"inputs":${DEEP}}`,
    ['inputs[0]', 'an object'],
  ],
  ['100,000 brackets that never close', 'of-fp32', '['.repeat(100_000), ['JSON nesting']],
]

describe('is refused with 400, in words', () => {
  test.each(WRONG_TENSORS)('%s', async (_, model, body, says) => {
    await expectRefusal(await infer(model, body), { status: 400, says })
  })

  test.each(WRONG_REQUESTS)('%s', async (_, model, body, says) => {
    await expectRefusal(await infer(model, body), { status: 400, says })
  })

  test('what is not UTF-8', async () => {
    const body = Buffer.from(of(input('BYTES', '[1]', '["?"]')))
    body[body.indexOf('?')] = 0xff
    await expectRefusal(await infer('of-bytes', body), { status: 400, says: ['UTF-8'] })
  })

  test.each(['-1', '0x10', '99999', '99999999999999999999', 'NaN', '1.5', ''])(
    'Inference-Header-Content-Length "%s"',
    async (length) => {
      const { body } = encodeBinary([fp32(1)])
      const came = await infer('of-fp32', body, { 'Inference-Header-Content-Length': length })
      const says = ['Inference-Header-Content-Length', `"${length}"`, `1 to ${body.length}`]
      await expectRefusal(came, { status: 400, says })
    },
  )

  test('a header length that ends inside the JSON', async () => {
    const { body } = encodeBinary([fp32(1)])
    const came = await infer('of-fp32', body, { 'Inference-Header-Content-Length': '20' })
    await expectRefusal(came, { status: 400, says: ['JSON', 'the end'] })
  })
})

const fp32 = (...values: number[]) =>
  tensorOf('INPUT0', 'FP32', { shape: [values.length], data: Float32Array.from(values) })

/** A binary request that says one thing and holds another. */
function binary(said: { datatype?: string; shape: number[]; size: unknown }, bytes: number[]) {
  const { datatype = 'FP32', shape, size } = said
  const parameters = { binary_data_size: size }
  const json = Buffer.from(JSON.stringify({ inputs: [{ name: 'INPUT0', datatype, shape, parameters }] }))
  const headers = { 'Inference-Header-Content-Length': String(json.length) }
  return { body: Buffer.concat([json, Uint8Array.from(bytes)]), headers }
}

describe('binary data is refused with 400', () => {
  test.each([
    ['that is too short', 'of-fp32', { shape: [1], size: 4 }, [0, 0, 0], ['"INPUT0"', '4 bytes', '3 left']],
    [
      'that is too long',
      'of-fp32',
      { shape: [1], size: 4 },
      [0, 0, 0, 0, 0],
      ['1 bytes after the last input'],
    ],
    [
      'whose size is not that of its shape',
      'of-fp32',
      { shape: [2], size: 4 },
      [0, 0, 0, 0],
      ['"INPUT0"', 'is 4', 'expected 8', '2 elements of FP32'],
    ],
    ['of a negative size', 'of-fp32', { shape: [1], size: -4 }, [0, 0, 0, 0], ['"INPUT0"', '-4']],
    ['whose size is no number', 'of-fp32', { shape: [1], size: '4' }, [0, 0, 0, 0], ['"INPUT0"', '"4"']],
    [
      'of a string longer than the data',
      'of-bytes',
      { datatype: 'BYTES', shape: [1], size: 5 },
      [9, 0, 0, 0, 65],
      ['"INPUT0"'],
    ],
    [
      'of a string of 4 GiB',
      'of-bytes',
      { datatype: 'BYTES', shape: [1], size: 5 },
      [255, 255, 255, 255, 65],
      ['"INPUT0"'],
    ],
    [
      'of fewer strings than the shape has',
      'of-bytes',
      { datatype: 'BYTES', shape: [2], size: 5 },
      [1, 0, 0, 0, 65],
      ['"INPUT0"', '2'],
    ],
    [
      'of more strings than the shape has',
      'of-bytes',
      { datatype: 'BYTES', shape: [1], size: 10 },
      [1, 0, 0, 0, 65, 1, 0, 0, 0, 65],
      ['"INPUT0"'],
    ],
    [
      'of a string without its length',
      'of-bytes',
      { datatype: 'BYTES', shape: [1], size: 2 },
      [1, 0],
      ['"INPUT0"'],
    ],
    [
      'of two billion strings that are not there',
      'of-bytes',
      { datatype: 'BYTES', shape: [2_000_000_000], size: 5 },
      [1, 0, 0, 0, 65],
      ['"INPUT0"'],
    ],
  ] as const)('%s', async (_, model, said, bytes, says) => {
    const { body, headers } = binary({ ...said, shape: [...said.shape] }, [...bytes])
    await expectRefusal(await infer(model, body, headers), { status: 400, says })
  })

  test('beside "data"', async () => {
    const body = of(
      '{"name":"INPUT0","datatype":"FP32","shape":[1],"data":[1],"parameters":{"binary_data_size":4}}',
    )
    await expectRefusal(await infer('of-fp32', body), { status: 400, says: ['"INPUT0"', 'both'] })
  })

  test.each([
    ['of half an element', 'of-fp32', 6, ['of-fp32/1', '6 bytes', 'expected 4']],
    ['for a model with two inputs', 'simple', 128, ['simple/1', '2 inputs', 'exactly 1']],
    ['for an input with two open dimensions', 'two-open', 16, ['two-open/1', '2 open dimensions']],
  ])('raw %s', async (_, model, bytes, says) => {
    const came = await infer(model, new Uint8Array(bytes), { 'Inference-Header-Content-Length': '0' })
    await expectRefusal(came, { status: 400, says })
  })
})

describe('models', () => {
  const good = of(input('FP32', '[1]', '[1]'))

  test('an unknown one is 404', async () => {
    await expectRefusal(await infer('nobody', good), { status: 404, says: ["'nobody'", 'not found'] })
  })

  test('an unknown version is 404, and the ones that are there are named', async () => {
    const came = await ask('/v2/models/versioned/versions/7/infer', { body: good })
    await expectRefusal(came, { status: 404, says: ["'versioned' version 7", '9, 10'] })
  })

  test.each([
    ['broken-noise', ['broken-noise/1', 'Protobuf']],
    ['broken-empty', ['broken-empty/1', 'empty', '0 bytes']],
    ['broken-truncated', ['broken-truncated/1', 'Protobuf']],
    ['broken-config', ['broken-config', 'verson_policy', 'config.toml']],
    ['broken-no-version', ['broken-no-version', 'holds no version']],
    ['broken-no-file', ['broken-no-file/1', 'model.onnx']],
  ])('%s is 503 with the reason, everywhere', async (model, says) => {
    await expectRefusal(await infer(model, good), { status: 503, says })
    await expectRefusal(await ask(`/v2/models/${model}`, { method: 'GET' }), { status: 503, says })
    expect((await ask(`/v2/models/${model}/ready`, { method: 'GET' })).status).toBe(400)
  })

  test('the index says what is broken and why, and lists the rest as ready, without a body too', async () => {
    const { status, text } = await ask('/v2/repository/index')
    expect(status).toBe(200)
    const index = JSON.parse(text) as { name: string; version?: string; state: string; reason?: string }[]
    const broken = index.filter(({ state }) => state !== 'READY')
    expect(broken).toEqual([
      { name: 'broken-config', state: 'UNAVAILABLE', reason: expect.stringContaining('verson_policy') },
      {
        name: 'broken-empty',
        version: '1',
        state: 'UNAVAILABLE',
        reason: expect.stringContaining('is empty'),
      },
      {
        name: 'broken-no-file',
        version: '1',
        state: 'UNAVAILABLE',
        reason: expect.stringContaining('there is no'),
      },
      {
        name: 'broken-no-version',
        state: 'UNAVAILABLE',
        reason: expect.stringContaining('holds no version'),
      },
      {
        name: 'broken-noise',
        version: '1',
        state: 'UNAVAILABLE',
        reason: expect.stringContaining('Protobuf'),
      },
      {
        name: 'broken-truncated',
        version: '1',
        state: 'UNAVAILABLE',
        reason: expect.stringContaining('Protobuf'),
      },
      {
        name: 'sequence-output',
        version: '1',
        state: 'UNAVAILABLE',
        reason: expect.stringContaining('none of its outputs is a tensor: "OUTPUT0" is a sequence'),
      },
    ])
    const ready = index
      .filter(({ state }) => state === 'READY')
      .map(({ name, version }) => `${name}/${version}`)
    expect(ready).toEqual(
      [...Object.keys(WHOLE), 'versioned']
        .filter((name) => name !== 'sequence-output')
        .flatMap((name) => (name === 'versioned' ? ['versioned/9', 'versioned/10'] : `${name}/1`))
        .sort((a, b) => a.localeCompare(b, 'en', { numeric: true })),
    )
  })

  test('of two versions the latest is 10, not 9, and each is served under its own address', async () => {
    const { text } = await infer('versioned', good)
    expect(JSON.parse(text)).toMatchObject({
      model_version: '10',
      outputs: [{ datatype: 'FP32', data: [1] }],
    })
    const ninth = await ask('/v2/models/versioned/versions/9/infer', {
      body: of(input('INT32', '[1]', '[5]')),
    })
    expect(JSON.parse(ninth.text)).toMatchObject({
      model_version: '9',
      outputs: [{ datatype: 'INT32', data: [5] }],
    })
    const metadata = await ask('/v2/models/versioned', { method: 'GET' })
    expect(JSON.parse(metadata.text)).toMatchObject({ versions: ['9', '10'], inputs: [{ datatype: 'FP32' }] })
  })
})

describe('HTTP', () => {
  const good = of(input('FP32', '[1]', '[1]'))
  const large = (bytes: number) => good.padEnd(bytes, ' ')
  const says = [`at most ${BODY_BYTES_MAX}`, 'http.body_bytes_max']

  test('a body of exactly the limit is taken', async () => {
    expect((await infer('of-fp32', large(BODY_BYTES_MAX))).status).toBe(200)
    expect((await infer('of-fp32', chunked(large(BODY_BYTES_MAX)))).status).toBe(200)
    expect(
      (await infer('of-fp32', gzipSync(large(BODY_BYTES_MAX)), { 'Content-Encoding': 'gzip' })).status,
    ).toBe(200)
  })

  test.each([
    ['one byte over the limit', BODY_BYTES_MAX + 1],
    ['eight times the limit', BODY_BYTES_MAX * 8],
  ])('a body of %s is 413', async (_, bytes) => {
    await expectRefusal(await infer('of-fp32', large(bytes)), { status: 413, says })
  })

  test.each([
    ['one byte over the limit', BODY_BYTES_MAX + 1],
    ['eight times the limit', BODY_BYTES_MAX * 8],
  ])('a chunked body of %s is 413', async (_, bytes) => {
    await expectRefusal(await infer('of-fp32', chunked(large(bytes))), { status: 413, says })
  })

  test('a gzip bomb is 413', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * BODY_BYTES_MAX))
    expect(bomb.length).toBeLessThan(BODY_BYTES_MAX)
    await expectRefusal(await infer('of-fp32', bomb, { 'Content-Encoding': 'gzip' }), { status: 413, says })
  })

  test.each([
    ['br', ['"br"', 'gzip or deflate']],
    ['gzip, gzip', ['"gzip, gzip"', 'gzip or deflate']],
    ['constructor', ['"constructor"', 'gzip or deflate']],
    ['__proto__', ['"__proto__"', 'gzip or deflate']],
  ])('Content-Encoding "%s" is 415', async (encoding, words) => {
    await expectRefusal(await infer('of-fp32', good, { 'Content-Encoding': encoding }), {
      status: 415,
      says: words,
    })
  })

  test('gzip that is none is 400', async () => {
    const came = await infer('of-fp32', good, { 'Content-Encoding': 'gzip' })
    await expectRefusal(came, { status: 400, says: ['decompress', 'gzip'] })
  })

  test.each([
    ['GET', '/v2/models/simple/infer'],
    ['GET', '/v2/repository/index'],
    ['POST', '/v2/health/live'],
    ['DELETE', '/v2/models/simple'],
  ])('%s %s is 405', async (method, path) => {
    await expectRefusal(await ask(path, { method }), { status: 405, says: ['Method Not Allowed'] })
  })

  test.each([
    '/',
    '/v1/models',
    '/v2/models/simple/explain',
    '/v2/models//infer',
    '/v2/models/simple/versions/1/2/infer',
  ])('%s is 404', async (path) => {
    await expectRefusal(await ask(path), { status: 404, says: ['Not Found'] })
  })

  test.each(['%2e%2e%2f%2e%2e%2fetc', '..%2fsimple', 'simple%00', '%ff', '__proto__', 'constructor'])(
    'a model named "%s" is 404, not a path',
    async (name) => {
      await expectRefusal(await infer(name, good), { status: 404, says: ['unknown model'] })
    },
  )

  test('a query string changes nothing', async () => {
    expect((await ask('/v2/models/of-fp32/infer?timeout=5', { body: good })).status).toBe(200)
    expect((await ask('/v2/health/ready?verbose', { method: 'GET' })).status).toBe(200)
  })

  test('a percent-encoded name is that name', async () => {
    expect((await infer('of%2Dfp32', good)).status).toBe(200)
  })

  test.each([
    ['gzip', gzipSync],
    ['GZIP', gzipSync],
    ['deflate', deflateSync],
  ])('a body in %s is understood', async (encoding, compress) => {
    const { status, text } = await infer('of-fp32', compress(good), { 'Content-Encoding': encoding })
    expect({ status, outputs: JSON.parse(text).outputs }).toEqual({ status: 200, outputs: [fp32Answer([1])] })
  })

  test('a binary request in gzip is understood', async () => {
    const { body, headers } = encodeBinary([fp32(1, 2)])
    const { status } = await infer('of-fp32', gzipSync(body), { ...headers, 'Content-Encoding': 'gzip' })
    expect(status).toBe(200)
  })

  test('a chunked upload is understood', async () => {
    const { status, text } = await infer('of-fp32', chunked(good))
    expect({ status, outputs: JSON.parse(text).outputs }).toEqual({ status: 200, outputs: [fp32Answer([1])] })
  })
})

const fp32Answer = (data: number[]) => ({ name: 'OUTPUT0', datatype: 'FP32', shape: [data.length], data })

/** A body without a Content-Length, in pieces. */
function chunked(text: string): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text)
  const piece = Math.ceil(bytes.length / 7)
  let at = 0
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(bytes.subarray(at, at + piece))
      at += piece
      if (at >= bytes.length) controller.close()
    },
  })
}

describe('nothing is lost on the way', () => {
  /** What stands between the brackets of "data" in the answer, as text: parsing would round it. */
  async function echoed(model: string, tensor: string): Promise<string> {
    const { status, text } = await inferJson(server.url, model, of(tensor))
    expect({ status, text }).toEqual({ status: 200, text: expect.stringContaining('"data":[') })
    return /"data":\[(.*)\]\}\]\}$/s.exec(text)?.[1] ?? text
  }

  test.each([
    ['INT64', 'of-int64', ['-9223372036854775808', '9223372036854775807', '9007199254740993', '-1']],
    ['UINT64', 'of-uint64', ['18446744073709551615', '9007199254740993', '0']],
  ])('%s from end to end, in JSON', async (datatype, model, values) => {
    expect(await echoed(model, input(datatype, `[${values.length}]`, `[${values}]`))).toBe(values.join(','))
  })

  test.each([
    ['INT64', 'of-int64', new BigInt64Array([-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n + 1n])],
    ['UINT64', 'of-uint64', new BigUint64Array([2n ** 64n - 1n, 2n ** 53n + 1n, 0n])],
    ['FP64', 'of-fp64', new Float64Array([Number.MIN_VALUE, Number.MAX_VALUE, -0, Number.NaN])],
    ['FP16', 'of-fp16', new Float16Array([65_504, 2 ** -24, -Infinity])],
    ['BF16', 'of-bf16', new Uint16Array([0x3f80, 0x7f80, 0x0001])],
  ])('%s bit for bit, in binary', async (datatype, model, data) => {
    const tensor = tensorOf('INPUT0', datatype, { shape: [data.length], data })
    const answer = await inferBinary(server.url, model, [tensor])
    expect(answer.get('OUTPUT0')).toEqual({ ...tensor, name: 'OUTPUT0' })
  })

  test.each([
    [
      'NaN and the infinities in FP32',
      'of-fp32',
      'FP32',
      'NaN,Infinity,-Infinity,1.5',
      'NaN,Infinity,-Infinity,1.5',
    ],
    [
      'NaN and the infinities in FP64',
      'of-fp64',
      'FP64',
      'NaN,Infinity,-Infinity,0.1',
      'NaN,Infinity,-Infinity,0.1',
    ],
    [
      'NaN and the infinities in FP16',
      'of-fp16',
      'FP16',
      'NaN,Infinity,-Infinity,0.5',
      'NaN,Infinity,-Infinity,0.5',
    ],
    [
      'NaN and the infinities in BF16',
      'of-bf16',
      'BF16',
      'NaN,Infinity,-Infinity,0.5',
      'NaN,Infinity,-Infinity,0.5',
    ],
    ['the largest FP16', 'of-fp16', 'FP16', '65504,-65504', '65504,-65504'],
    ['BF16, to the nearest it has', 'of-bf16', 'BF16', '1,3.140625,3.1415', '1,3.140625,3.140625'],
    ['FP64 to its last digit', 'of-fp64', 'FP64', '0.30000000000000004,5e-324', '0.30000000000000004,5e-324'],
    ['an integer beyond 2^53 for a float', 'of-fp64', 'FP64', '9007199254740993', '9007199254740992'],
    ['a BOOL in both spellings', 'of-bool', 'BOOL', 'true,0,1', 'true,false,true'],
    ['nested arrays as flat ones', 'of-int32', 'INT32', '[1,[2]],3', '1,2,3'],
  ])('%s', async (_, model, datatype, sent, expected) => {
    const elements = expected.split(',').length
    expect(await echoed(model, input(datatype, `[${elements}]`, `[${sent}]`))).toBe(expected)
  })

  test('what a model divides by zero', async () => {
    const body = of(input('FP32', '[3]', '[0,1,-1]'), input('FP32', '[3]', '[0,0,0]', 'INPUT1'))
    const { text } = await inferJson(server.url, 'divide', body)
    expect(text).toContain('"data":[NaN,Infinity,-Infinity]')
  })

  test.each([
    ['FP32', 'of-fp32'],
    ['INT64', 'of-int64'],
    ['BYTES', 'of-bytes'],
    ['BOOL', 'of-bool'],
  ])('an empty tensor of %s', async (datatype, model) => {
    expect(await echoed(model, input(datatype, '[0]', '[]'))).toBe('')
    const tensor = tensorOf('INPUT0', datatype, { shape: [0], data: new Uint8Array(0) })
    const { body, headers } = encodeBinary([tensor])
    const { status, text } = await infer(model, body, headers)
    expect({ status, shape: JSON.parse(text).outputs[0].shape }).toEqual({ status: 200, shape: [0] })
  })

  test('a scalar', async () => {
    expect(await echoed('scalar', input('INT64', '[]', '[9007199254740993]'))).toBe('9007199254740993')
  })

  test('strings, empty ones and those of any script', async () => {
    const texts = [
      '',
      'plain',
      'Grüße',
      '日本語',
      '🐚\u200d🌊',
      '"quoted" \\ \n\t',
      '\u0000',
      '\ufeffmark',
      '\u2028',
    ]
    const sent = JSON.stringify(texts)
    expect(`[${await echoed('of-bytes', input('BYTES', `[${texts.length}]`, sent))}]`).toBe(sent)
  })

  test('strings with zero bytes and bytes that are no text, in binary', async () => {
    const bytes = strings([[], [0], [65, 0, 66], [0xff, 0xfe]])
    const tensor = tensorOf('INPUT0', 'BYTES', { shape: [4], data: bytes })
    const answer = await inferBinary(server.url, 'of-bytes', [tensor])
    expect(answer.get('OUTPUT0')).toEqual({ ...tensor, name: 'OUTPUT0' })
  })

  test('an answer that is no text is refused in JSON and says how to get it', async () => {
    const { body, headers } = binary({ datatype: 'BYTES', shape: [1], size: 5 }, [1, 0, 0, 0, 0xff])
    const says = ['"OUTPUT0"', 'not UTF-8', '"binary_data"']
    await expectRefusal(await infer('of-bytes', body, headers), { status: 400, says })
  })

  test('a raw binary request', async () => {
    const values = Float32Array.from([1, 2, 3])
    const { status, headers, text } = await infer('of-fp32', values, {
      'Inference-Header-Content-Length': '0',
    })
    expect(status).toBe(200)
    const head = text.slice(0, Number(headers.get('inference-header-content-length')))
    expect(JSON.parse(head)).toMatchObject({
      outputs: [{ shape: [3], parameters: { binary_data_size: 12 } }],
    })
  })

  test('six inputs of six types at once, JSON and binary mixed', async () => {
    const flags = { name: 'INPUT3', datatype: 'BOOL', shape: [2], parameters: { binary_data_size: 2 } }
    const json = Buffer.from(
      of(
        input('FP32', '[2,3]', '[[1,2,3],[4,5,6]]'),
        input('INT64', '[2]', '[9223372036854775807,-2]', 'INPUT1'),
        input('BYTES', '[2,1]', '["a","ß"]', 'INPUT2'),
        JSON.stringify(flags),
        input('UINT8', '[1,1,2]', '[0,255]', 'INPUT4'),
        input('FP64', '[]', '[0.1]', 'INPUT5'),
      ),
    )
    const headers = { 'Inference-Header-Content-Length': String(json.length) }
    const { status, text } = await infer('mixed', Buffer.concat([json, Uint8Array.of(1, 0)]), headers)
    expect(status).toBe(200)
    const data = [...text.matchAll(/"data":\[(.*?)\]\}/g)].map((match) => match[1])
    expect(data).toEqual(['1,2,3,4,5,6', '9223372036854775807,-2', '"a","ß"', 'true,false', '0,255', '0.1'])
  })

  test('an optional input, left out and given', async () => {
    expect(await echoed('optional-input', input('FP32', '[2]', '[1,2]'))).toBe('1.5,2.5')
    const bias = input('FP32', '[1]', '[10]', 'BIAS')
    expect(await echoed('optional-input', `${input('FP32', '[2]', '[1,2]')},${bias}`)).toBe('11,12')
  })

  test('the tensors of a model that also gives a map', async () => {
    expect(await echoed('map-output', input('FP32', '[2,3]', '[1,2,3,9,2,3]'))).toBe('2,0')
  })

  test('the id comes back, and only the outputs that were asked for, in that order', async () => {
    const body = `{"id":"Ünique-1","inputs":[${int32('INPUT0', 5)},${int32('INPUT1', 2)}],"outputs":[{"name":"OUTPUT1"},{"name":"OUTPUT0"}]}`
    const { text } = await inferJson(server.url, 'simple', body)
    const answer = JSON.parse(text) as { id: string; outputs: { name: string; data: number[] }[] }
    expect(answer.id).toBe('Ünique-1')
    expect(answer.outputs.map(({ name, data }) => [name, data[0]])).toEqual([
      ['OUTPUT1', 3],
      ['OUTPUT0', 7],
    ])
  })

  test('floats in one request are those in the answer, a hundred in flight at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) => inferBinary(server.url, 'of-fp32', [fp32(index, -index)])),
    )
    for (const [index, answer] of answers.entries())
      expect([...floats(answer.get('OUTPUT0'))]).toEqual([index, -index])
  })
})

/** Strings as the binary data of BYTES: each with its length in front, four bytes, little-endian. */
function strings(items: readonly (readonly number[])[]): Uint8Array {
  return Buffer.concat(
    items.map((bytes) => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(bytes.length)
      return Buffer.concat([length, Uint8Array.from(bytes)])
    }),
  )
}
