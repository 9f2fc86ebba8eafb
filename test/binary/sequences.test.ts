/** Sequences through the compiled binary: a real model that keeps its state, and stock settings of Triton's. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { BINARY, createFolder, DATA, MODELS, type Running, startServing, writeModel } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { SEED } from '../kit/seed.ts'
import { noise, readWav } from '../kit/signals.ts'
import { floats, inferBinary, tensorOf, type V2Tensor } from '../kit/v2.ts'

const SILERO = `
[sequences]
idle_us_max = 60_000_000
states = [{ input = "state", output = "stateN" }]
`

const controls = `
  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
    { name: "END" control [ { kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } ] },
    { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] } ] },
    { name: "ID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] }
  ]
  state [
    {
      input_name: "STATE" output_name: "NEXT" data_type: TYPE_INT32 dims: [ 1 ]
      initial_state: { name: "begin" data_type: TYPE_INT32 dims: [ 1 ] data_file: "begin" }
    }
  ]`

/** As a stock repository has it. */
const pbtxt = (strategy: string, idleUs: number) => `
max_batch_size: 4
input [ { name: "INPUT0" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [
  { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "SAID" data_type: TYPE_INT32 dims: [ 3 ] },
  { name: "WHO" data_type: TYPE_UINT64 dims: [ 1 ] }
]
sequence_batching {
  max_sequence_idle_microseconds: ${idleUs}
  ${strategy}
  ${controls}
}
`

const DIRECT = 'direct { max_queue_delay_microseconds: 500 minimum_slot_utilization: 0.5 }'
const OLDEST =
  'oldest { max_candidate_sequences: 8 preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 500 }'
const IDLE_US = 60_000_000

/** An ensemble whose only step keeps a state. */
const CHAIN = `
platform: "ensemble"
max_batch_size: 4
input { name: "X" data_type: TYPE_INT32 dims: 1 }
output { name: "Y" data_type: TYPE_INT32 dims: 1 }
ensemble_scheduling {
  step {
    model_name: "oldest" model_version: -1
    input_map { key: "INPUT0" value: "X" }
    output_map { key: "OUTPUT0" value: "Y" }
  }
}
`

const folder = await createFolder()
const models = join(folder.path, 'models')
let server: Running

beforeAll(async () => {
  await cp(join(MODELS, 'silero-vad'), join(models, 'by-hand'), { recursive: true })
  await cp(join(MODELS, 'silero-vad/1'), join(models, 'by-id/1'), { recursive: true })
  await Bun.write(join(models, 'by-id/config.toml'), SILERO)
  for (const [name, text] of Object.entries({
    direct: pbtxt(DIRECT, IDLE_US),
    oldest: pbtxt(OLDEST, IDLE_US),
    restless: pbtxt(OLDEST, 1),
    narrow: `${pbtxt('oldest { max_candidate_sequences: 1 }', IDLE_US)}\ninstance_group { count: 1 kind: KIND_CPU }`,
    changing: pbtxt(OLDEST, IDLE_US),
    wrong: pbtxt(OLDEST, IDLE_US).replace('"STATE"', '"STALE"').replace('"WHO"', '"HOW"'),
  })) {
    await writeModel(models, name, { onnx: zoo.accumulator() })
    await Bun.write(join(models, name, 'config.pbtxt'), text)
    await Bun.write(join(models, name, 'initial_state/begin'), Int32Array.of(100))
  }
  await mkdir(join(models, 'chain/1'), { recursive: true })
  await Bun.write(join(models, 'chain/config.pbtxt'), CHAIN)
  server = await startServing(folder.path, { command: [BINARY, 'serve', '--models', models, '--port', '0'] })
}, 60_000)

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

interface Answer {
  readonly status: number
  readonly error?: string
  readonly model_version?: string
  readonly outputs?: readonly { readonly name: string; readonly data: readonly number[] }[]
}

async function post(path: string, body: string): Promise<Answer> {
  const response = await fetch(`${server.url}${path}`, { method: 'POST', body })
  const text = await response.text()
  return { status: response.status, ...(text === '' ? {} : JSON.parse(text)) }
}

/** What the tests look at of the server's answers. */
interface Facts {
  readonly extensions: readonly string[]
  readonly inputs: readonly { readonly name: string }[]
  readonly outputs: readonly { readonly name: string }[]
  readonly input: readonly { readonly name: string }[]
  readonly output: readonly { readonly name: string }[]
  readonly sequence_batching: { readonly direct?: unknown; readonly oldest?: unknown }
  readonly model_stats: readonly [
    {
      readonly inference_count: number
      readonly inference_stats: { readonly queue: { readonly count: number } }
    },
  ]
}

const get = async (path: string) => (await (await fetch(`${server.url}${path}`)).json()) as Facts

/** `parameters` is JSON, so that ids keep their digits. */
async function add(model: string, value: number, parameters: string, name = 'INPUT0'): Promise<Answer> {
  const input = `{"name":"${name}","datatype":"INT32","shape":[1,1],"data":[${value}]}`
  return await post(`/v2/models/${model}/infer`, `{"inputs":[${input}],"parameters":{${parameters}}}`)
}

const outputOf = ({ outputs }: Answer, name = 'OUTPUT0') =>
  outputs?.find((output) => output.name === name)?.data

describe('voice activity by sequence_id', () => {
  const WINDOW = 512
  const CONTEXT = 64

  /** What the model is given for each 32 ms: the window and the end of the one before. */
  function windowsOf(sound: Float32Array): Float32Array[] {
    return Array.from({ length: Math.floor(sound.length / WINDOW) }, (_, index) => {
      const window = new Float32Array(CONTEXT + WINDOW)
      const from = index * WINDOW - CONTEXT
      window.set(sound.subarray(Math.max(0, from), from + CONTEXT + WINDOW), Math.max(0, -from))
      return window
    })
  }

  const soundOf = (data: Float32Array) => tensorOf('input', 'FP32', { shape: [1, CONTEXT + WINDOW], data })
  const RATE = tensorOf('sr', 'INT64', { shape: [], data: BigInt64Array.of(16_000n) })

  async function byHand(windows: readonly Float32Array[]): Promise<number[]> {
    let state: V2Tensor = tensorOf('state', 'FP32', { shape: [2, 1, 128], data: new Float32Array(256) })
    const scores: number[] = []
    for (const window of windows) {
      const outputs = await inferBinary(server.url, 'by-hand', [soundOf(window), state, RATE])
      state = { ...(outputs.get('stateN') as V2Tensor), name: 'state' }
      scores.push(floats(outputs.get('output'))[0] ?? Number.NaN)
    }
    return scores
  }

  test('several voices at once are heard exactly as when the client carries the state', async () => {
    const speech = await readWav(join(DATA, 'speech.wav'))
    const sounds = [
      speech,
      speech.subarray(7_000),
      noise(16_000, 1),
      speech.subarray(20_000),
      noise(9_000, 2),
    ]
    const windows = sounds.map((sound) => windowsOf(sound).slice(0, 40))
    const expected: number[][] = []
    for (const one of windows) expected.push(await byHand(one))
    expect(Math.max(...expected.flat())).toBeGreaterThan(0.9)

    const ids = [1, 2 ** 53 - 1, 'front door', '1', 4]
    const scores: number[][] = windows.map(() => [])
    const ask = async (voice: number) => {
      const heard = scores[voice] as number[]
      const of = windows[voice] as Float32Array[]
      const parameters = {
        sequence_id: ids[voice],
        sequence_start: heard.length === 0,
        sequence_end: heard.length === of.length - 1,
      }
      const inputs = [soundOf(of[heard.length] as Float32Array), RATE]
      const outputs = await inferBinary(server.url, 'by-id', inputs, parameters)
      expect([...outputs.keys()]).toEqual(['output'])
      heard.push(floats(outputs.get('output'))[0] ?? Number.NaN)
    }
    // Some of the voices at a time, in any combination, until all have been heard.
    const rounds = fc.sample(fc.subarray([0, 1, 2, 3, 4], { minLength: 1 }), { seed: SEED, numRuns: 400 })
    for (const round of rounds) {
      const left = round.filter((voice) => (scores[voice]?.length ?? 0) < (windows[voice]?.length ?? 0))
      await Promise.all(left.map(ask))
    }
    expect(scores).toEqual(expected)
  }, 60_000)

  test('clients are not told of the state, and need not send it', async () => {
    const metadata = await get('/v2/models/by-id')
    const names = (tensors: readonly { name: string }[]) => tensors.map(({ name }) => name)
    expect([names(metadata.inputs), names(metadata.outputs)]).toEqual([['input', 'sr'], ['output']])
    const config = await get('/v2/models/by-id/config')
    expect([names(config.input), names(config.output)]).toEqual([['input', 'sr'], ['output']])
    expect(config.sequence_batching).toMatchObject({
      max_sequence_idle_microseconds: IDLE_US,
      oldest: { max_candidate_sequences: 64 },
      state: [{ input_name: 'state', output_name: 'stateN', data_type: 'TYPE_FP32', dims: [2, -1, 128] }],
    })
  })
})

describe.each(['direct', 'oldest'])('a stock config.pbtxt with the strategy %s', (model) => {
  test('keeps the state from start to end, beginning with the file', async () => {
    const id = '"sequence_id":18446744073709551615'
    const answers = [
      await add(model, 5, `${id},"sequence_start":true`),
      // The one that differs in the last digit only is another.
      await add(model, 1000, '"sequence_id":18446744073709551614,"sequence_start":true,"sequence_end":true'),
      await add(model, 6, id),
      await add(model, 7, `${id},"sequence_end":true`),
    ]
    expect(answers.map((answer) => outputOf(answer))).toEqual([[105], [1100], [111], [118]])
    expect(answers.map((answer) => outputOf(answer, 'SAID'))).toEqual([
      [1, 0, 1],
      [1, 1, 1],
      [0, 0, 1],
      [0, 1, 1],
    ])
    expect((await add(model, 1, id)).error).toContain('must specify the START flag on the first request')
  })

  test('is what the config says', async () => {
    const { sequence_batching } = await get(`/v2/models/${model}/config`)
    expect(sequence_batching).toMatchObject({
      max_sequence_idle_microseconds: IDLE_US,
      control_input: [
        { name: 'START', control: [{ kind: 'CONTROL_SEQUENCE_START', int32_false_true: [0, 1] }] },
        { name: 'END', control: [{ kind: 'CONTROL_SEQUENCE_END', int32_false_true: [0, 1] }] },
        { name: 'READY', control: [{ kind: 'CONTROL_SEQUENCE_READY', int32_false_true: [0, 1] }] },
        { name: 'ID', control: [{ kind: 'CONTROL_SEQUENCE_CORRID', data_type: 'TYPE_UINT64' }] },
      ],
      state: [
        {
          input_name: 'STATE',
          output_name: 'NEXT',
          data_type: 'TYPE_INT32',
          dims: [1],
          initial_state: [{ name: 'begin', data_type: 'TYPE_INT32', dims: [1], data_file: 'begin' }],
        },
      ],
    })
    const { direct, oldest } = sequence_batching
    expect(model === 'direct' ? direct : oldest).toEqual(
      model === 'direct'
        ? { max_queue_delay_microseconds: 500, minimum_slot_utilization: 0.5 }
        : {
            max_candidate_sequences: 8,
            preferred_batch_size: [4],
            max_queue_delay_microseconds: 500,
            preserve_ordering: false,
          },
    )
  })
})

describe('what clients get wrong is answered in words', () => {
  test.each([
    ['no sequence', '', `to model 'oldest' must specify a non-zero or non-empty correlation ID`],
    [
      '0, which is none',
      '"sequence_id":0,"sequence_start":true',
      'must specify a non-zero or non-empty correlation ID',
    ],
    ['none that began', '"sequence_id":77', `for sequence 77 to model 'oldest' must specify the START flag`],
    [
      'a fraction',
      '"sequence_id":1.5,"sequence_start":true',
      'parameter "sequence_id" is 1.5, expected an integer',
    ],
    ['a negative one', '"sequence_id":-1,"sequence_start":true', 'parameter "sequence_id" is -1'],
    [
      'one beyond 64 bits',
      '"sequence_id":18446744073709551616,"sequence_start":true',
      'parameter "sequence_id" is 18446744073709551616, expected an integer of 0 to 18446744073709551615',
    ],
    [
      'a long text',
      `"sequence_id":"${'x'.repeat(129)}","sequence_start":true`,
      'a string of at most 128 bytes',
    ],
    [
      'a text for a number',
      '"sequence_id":"x","sequence_start":true',
      'sequence_id "x" does not fit into "ID"',
    ],
    [
      'a start that is 1',
      '"sequence_id":5,"sequence_start":1',
      '"sequence_start" is 1, expected true or false',
    ],
  ])('%s', async (_, parameters, message) => {
    const { status, error } = await add('oldest', 1, parameters)
    expect([status, error]).toEqual([400, expect.stringContaining(message)])
  })
})

test('a sequence that was idle too long is over', async () => {
  expect((await add('restless', 1, '"sequence_id":9,"sequence_start":true')).status).toBe(200)
  // One microsecond is over by the time that an answer has come and a request has gone.
  const { status, error } = await add('restless', 1, '"sequence_id":9')
  expect([status, error]).toEqual([400, expect.stringContaining('was idle too long')])
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  expect(metrics.match(/^limpet_sequences\w*\{model="restless".*$/gm)).toEqual([
    'limpet_sequences{model="restless",version="1"} 0',
    'limpet_sequences_expired_total{model="restless",version="1"} 1',
  ])
})

test('a client that goes away while its request waits takes its sequence along, and nobody else', async () => {
  const waiting = async (count: number) => {
    const line = `nv_inference_pending_request_count{model="narrow",version="1"} ${count}\n`
    for (;;) if ((await (await fetch(`${server.url}/metrics`)).text()).includes(line)) return
  }
  await add('narrow', 1, '"sequence_id":1,"sequence_start":true')
  const gone = new AbortController()
  const input = { name: 'INPUT0', datatype: 'INT32', shape: [1, 1], data: [5] }
  const body = JSON.stringify({ inputs: [input], parameters: { sequence_id: 2, sequence_start: true } })
  const asked = fetch(`${server.url}/v2/models/narrow/infer`, { method: 'POST', body, signal: gone.signal })
  await waiting(1)
  gone.abort()
  await asked.catch(() => undefined)
  await waiting(0)
  expect(outputOf(await add('narrow', 2, '"sequence_id":1,"sequence_end":true'))).toEqual([103])
  expect((await add('narrow', 1, '"sequence_id":2')).error).toContain('must specify the START flag')
})

test('these requests are counted like any others', async () => {
  await add('oldest', 1, '"sequence_id":50,"sequence_start":true,"sequence_end":true')
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const count = (name: string) =>
    Number(new RegExp(`^${name}\\{model="oldest",[^}]*\\} (\\d+)$`, 'm').exec(text)?.[1])
  const { model_stats } = await get('/v2/models/oldest/stats')
  expect(model_stats[0].inference_stats.queue.count).toBe(model_stats[0].inference_count)
  expect(count('nv_inference_request_success')).toBe(model_stats[0].inference_count)
})

test('the generate extension keeps its state too, with ids as exact', async () => {
  const ask = (value: number, more: string) =>
    post('/v2/models/oldest/generate', `{"INPUT0":[${value}],${more}}`) as Promise<{ OUTPUT0?: number }>
  const [one, two] = [
    '"sequence_id":18446744073709551601',
    '"parameters":{"sequence_id":18446744073709551602',
  ]
  const answers = [
    await ask(1, `${one},"sequence_start":true`),
    await ask(10, `${two},"sequence_start":true}`),
    await ask(2, `${one},"sequence_end":true`),
    await ask(20, `${two},"sequence_end":true}`),
  ]
  expect(answers.map(({ OUTPUT0 }) => OUTPUT0)).toEqual([101, 110, 103, 130])
})

test('an ensemble hands its sequence on to its steps', async () => {
  const ask = (value: number, more: string) => add('chain', value, `"sequence_id":"in a chain"${more}`, 'X')
  expect((await ask(1, ',"sequence_start":true')).error).toContain('does not fit into "ID"')
  const askOne = async (value: number, more: string) =>
    outputOf(await add('chain', value, `"sequence_id":31${more}`, 'X'), 'Y')
  expect(await askOne(1, ',"sequence_start":true')).toEqual([101])
  expect(await askOne(2, '')).toEqual([103])
  expect(await askOne(3, ',"sequence_end":true')).toEqual([106])
})

test('the server says that it knows sequences', async () => {
  const { extensions } = await get('/v2')
  expect(extensions).toEqual(expect.arrayContaining(['sequence', 'sequence(string_id)']))
})

test('settings that contradict the model are named, and the model is not served', async () => {
  const answer = await fetch(`${server.url}/v2/repository/index`, { method: 'POST' })
  const index = (await answer.json()) as { name: string; state: string; reason: string }[]
  const { state, reason } = index.find(({ name }) => name === 'wrong') ?? {}
  expect(state).toBe('UNAVAILABLE')
  expect(reason).toContain('state input "STALE" is in the config, the model has "INPUT0", "STATE"')
  expect(reason).toContain('output "HOW" is in the config')
})

describe('a sequence in progress', () => {
  test('goes on when its model is loaded again, and when a newer version takes over', async () => {
    await add('changing', 1, '"sequence_id":1,"sequence_start":true')
    expect((await post('/v2/repository/models/changing/load', '')).status).toBe(200)
    await add('changing', 5, '"sequence_id":2,"sequence_start":true')
    expect(outputOf(await add('changing', 2, '"sequence_id":1'))).toEqual([103])
    await writeModel(models, 'changing', { onnx: zoo.accumulator(), version: '2' })
    expect((await post('/v2/repository/models/changing/load', '')).status).toBe(200)
    const [first, second] = [
      await add('changing', 3, '"sequence_id":1'),
      await add('changing', 6, '"sequence_id":2'),
    ]
    expect([outputOf(first), first.model_version]).toEqual([[106], '1'])
    expect([outputOf(second), second.model_version]).toEqual([[111], '1'])
    const third = await add('changing', 9, '"sequence_id":3,"sequence_start":true')
    expect([outputOf(third), third.model_version]).toEqual([[109], '2'])
    expect(outputOf(await add('changing', 4, '"sequence_id":1,"sequence_end":true'))).toEqual([110])
    expect((await add('changing', 4, '"sequence_id":1')).status).toBe(400)
  })

  test('ends with its model, which a client is told', async () => {
    await add('changing', 1, '"sequence_id":7,"sequence_start":true')
    await post('/v2/repository/models/changing/unload', '')
    const { status, error } = await add('changing', 1, '"sequence_id":7')
    expect([status, error]).toEqual([503, expect.stringContaining('Cannot infer with "changing/2"')])
  })
})
