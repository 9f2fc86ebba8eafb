/** What a model's numbers are like, as the compiled binary says it where its metrics are. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, startServing, writeModel } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'

const folder = await createFolder()
let server: Running

beforeAll(async () => {
  const models = join(folder.path, 'models')
  await writeModel(models, 'watched', { onnx: zoo.scaled(2), config: '[drift]\npercent = 100\n' })
  await writeModel(models, 'unwatched', { onnx: zoo.scaled(2) })
  server = await startServing(folder.path, { command: [BINARY, 'serve', '--models', models, '--port', '0'] })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

async function ask(model: string, data: readonly number[], isBinary = false): Promise<void> {
  const input = { name: 'INPUT0', datatype: 'FP32', shape: [data.length] }
  const bytes = new Uint8Array(Float32Array.from(data).buffer)
  const json = { ...input, ...(isBinary ? { parameters: { binary_data_size: bytes.length } } : { data }) }
  const head = new TextEncoder().encode(JSON.stringify({ inputs: [json] }))
  const body = isBinary ? Buffer.concat([head, bytes]) : head
  const headers = isBinary ? { 'Inference-Header-Content-Length': String(head.length) } : undefined
  const { status } = await fetch(`${server.url}/v2/models/${model}/infer`, {
    method: 'POST',
    body,
    ...(headers === undefined ? {} : { headers }),
  })
  expect(status).toBe(200)
}

const metrics = async () =>
  (await (await fetch(`${server.url}/metrics`)).text())
    .split('\n')
    .filter((line) => line.startsWith('limpet_tensor_'))

test('counts, bounds, mean and variance of inputs and outputs, of JSON and binary alike; nothing unasked', async () => {
  await ask('unwatched', [1])
  await ask('watched', [1, 2])
  await ask('watched', [3, -6], true)
  await ask('watched', [0.5], true)
  const lines = await metrics()
  expect(lines.filter((line) => line.includes('unwatched'))).toEqual([])
  const of = (direction: string, tensor: string) => {
    const labels = `{model="watched",version="1",direction="${direction}",tensor="${tensor}"}`
    return (name: string) =>
      Number(lines.find((line) => line.startsWith(`limpet_tensor_${name}${labels} `))?.split(' ')[1])
  }
  const input = of('input', 'INPUT0')
  expect(['min', 'max', 'mean', 'values_count', 'values_sum', 'nan_total'].map(input)).toEqual([
    -6, 3, 0.1, 5, 0.5, 0,
  ])
  // Of 1, 2, 3, -6 and 0.5: their squares come to 50.25.
  expect([input('squares_total'), input('variance')]).toEqual([50.25, expect.closeTo(10.04, 6)])
  const output = of('output', 'OUTPUT0')
  expect(['min', 'max', 'mean'].map(output)).toEqual([-12, 6, 0.2])
  expect(lines).toContain(
    'limpet_tensor_values_bucket{model="watched",version="1",direction="input",tensor="INPUT0",le="1"} 3',
  )
  expect(lines).toContain('limpet_tensor_requests_total{model="watched",version="1"} 3')
})

test('NaN and infinity are told apart from the others', async () => {
  // 3e38 times 2 is more than an FP32 can hold.
  await ask('watched', [3e38, Number.NaN], true)
  const found = (await metrics()).filter((line) => /_(nan|infinite)_total\{.*"output"/.test(line))
  expect(found.map((line) => Number(line.split(' ')[1]))).toEqual([1, 1])
})
