/** The compiled binary goes on answering while it does what takes long. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, startServing, writeModel } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { encodeBinary, inferJson, tensorOf } from '../kit/v2.ts'

const folder = await createFolder()
let server: Running

beforeAll(async () => {
  const models = join(folder.path, 'models')
  await writeModel(models, 'floats', { onnx: zoo.identity('FLOAT') })
  await writeModel(models, 'simple', { onnx: zoo.simple() })
  server = await startServing(folder.path, { command: [BINARY, 'serve', '--models', models, '--port', '0'] })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

const ROW = `"datatype":"INT32","shape":[1,16],"data":[${Array(16).fill(1)}]`
const SMALL = `{"inputs":[{"name":"INPUT0",${ROW}},{"name":"INPUT1",${ROW}}]}`

/** Sends one request over a line of its own; `sent` resolves when all of it has left, `answer` with what came back. */
function send(path: string, body: Buffer, headers: Readonly<Record<string, string>> = {}) {
  const { hostname, port } = new URL(server.url)
  const socket = connect({ host: hostname, port: Number(port) })
  const lines = Object.entries({ ...headers, 'Content-Length': body.length, Connection: 'close' })
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
  const sent = new Promise<void>((resolve) => {
    socket.write(head)
    socket.write(body, () => resolve())
  })
  const answer = new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(Buffer.concat(chunks)))
  })
  return { sent, answer }
}

/** How many small requests are answered from when the large one has been sent until it is answered. */
async function countMeanwhile({ sent, answer }: ReturnType<typeof send>): Promise<number> {
  let isAnswered = false
  void answer.then(() => {
    isAnswered = true
  })
  await sent
  let answers = 0
  while (!isAnswered) {
    expect((await inferJson(server.url, 'simple', SMALL)).status).toBe(200)
    answers += 1
  }
  return answers
}

/** Were the main thread to do it all, fewer than twenty would get in between its steps; as it is, hundreds do. */
const MEANWHILE_MIN = 30

test('small requests are answered while 60 MB of JSON are decoded', async () => {
  const elements = 5_000_000
  const text = `{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[${elements}],"data":[`
  const tail = ']}],"outputs":[{"name":"OUTPUT0","parameters":{"binary_data":true}}]}'
  const body = Buffer.from(`${text}${'0.123456789,'.repeat(elements - 1)}0.5${tail}`)
  expect(body.length).toBeGreaterThan(59e6)
  const large = send('/v2/models/floats/infer', body)
  expect(await countMeanwhile(large)).toBeGreaterThan(MEANWHILE_MIN)
  const answer = await large.answer
  const floats = new Float32Array(new Uint8Array(answer.subarray(-4 * elements)).buffer)
  expect([floats[0], floats[elements - 2], floats[elements - 1]]).toEqual([
    Math.fround(0.123456789),
    Math.fround(0.123456789),
    0.5,
  ])
}, 60_000)

test('small requests are answered while an answer of a million elements is written as JSON', async () => {
  const data = Float32Array.from({ length: 1_000_000 }, (_, index) => index / 7)
  const { body, headers } = encodeBinary([tensorOf('INPUT0', 'FP32', { shape: [data.length], data })])
  const asked = Buffer.from(body.subarray(0, Number(headers['Inference-Header-Content-Length'])))
  const json = Buffer.from(asked.toString().replace('"binary_data_output":true', '"x":1'))
  const bytes = Buffer.concat([json, body.subarray(asked.length)])
  const large = send('/v2/models/floats/infer', bytes, {
    'Inference-Header-Content-Length': String(json.length),
  })
  expect(await countMeanwhile(large)).toBeGreaterThan(MEANWHILE_MIN)
  const text = (await large.answer).toString()
  expect(text).toContain('"shape":[1000000],"data":[0,0.1428571')
  expect(text.endsWith(`${data[999_999]}]}]}`)).toBe(true)
}, 60_000)

test('small requests are answered while a model of 30 MB is read out of a load', async () => {
  const weights = Buffer.alloc(30e6, 1)
  const parameters = { config: '{}', 'file:1/model.onnx': Buffer.from(zoo.simple()).toString('base64') }
  const body = JSON.stringify({
    parameters: { ...parameters, 'file:1/weights.bin': weights.toString('base64') },
  })
  const large = send('/v2/repository/models/sent/load', Buffer.from(body))
  expect(await countMeanwhile(large)).toBeGreaterThan(MEANWHILE_MIN)
  expect((await large.answer).toString()).toStartWith('HTTP/1.1 200')
}, 60_000)

/** Processor time of the server's threads so far, in nanoseconds. */
async function threadTimes(): Promise<{ main: number; all: number }> {
  const tasks = `/proc/${server.pid}/task`
  const times = new Map<string, number>()
  for (const thread of await readdir(tasks)) {
    const stat = await Bun.file(`${tasks}/${thread}/schedstat`).text()
    times.set(thread, Number(stat.split(' ')[0]))
  }
  return { main: times.get(String(server.pid)) ?? 0, all: [...times.values()].reduce((a, b) => a + b, 0) }
}

test('of bodies of megabytes from 32 clients the main thread does the smaller part, and says how long it held the loop', async () => {
  const elements = 100_000
  const text = `{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[${elements}],"data":[`
  const tail = ']}],"outputs":[{"name":"OUTPUT0","parameters":{"binary_data":true}}]}'
  const body = Buffer.from(`${text}${'0.12345678901234,'.repeat(elements - 1)}0.5${tail}`)
  expect(body.length).toBeGreaterThan(1.6e6)
  const before = await threadTimes()
  const answers = Array.from({ length: 32 }, () => send('/v2/models/floats/infer', body).answer)
  for (const answer of await Promise.all(answers))
    expect(answer.toString('latin1', 0, 12)).toBe('HTTP/1.1 200')
  const after = await threadTimes()
  // Were it to decode them as well, nearly everything would be its.
  expect((after.main - before.main) / (after.all - before.all)).toBeLessThan(0.6)
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  expect(Number(/^limpet_event_loop_held_seconds_count (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(0)
  expect(Number(/^limpet_event_loop_held_max_seconds (\S+)$/m.exec(metrics)?.[1])).toBeGreaterThan(0)
}, 60_000)
