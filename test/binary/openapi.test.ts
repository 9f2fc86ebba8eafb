/** The description of the API, asked of the compiled binary: what it gives as an example is answered. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, MODELS, type Running, startServing, writeModel } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'

const ZOO: Readonly<Record<string, Uint8Array>> = {
  'adds-bias': zoo.optionalInput(),
  divides: zoo.divide(),
  'half-floats': zoo.identity('FLOAT16', ['n']),
  'looks-up': zoo.failsOnIndex(),
  mixed: zoo.mixed(),
  'says-much': zoo.withMetadata(),
  texts: zoo.stringIdentity(),
}
const SHIPPED = ['simple', 'text-detector', 'text-orientation']

interface Operation {
  requestBody: { content: { 'application/json': { example: unknown } } }
  'x-limpet-model'?: { name: string }
}

const folder = await createFolder()
const models = join(folder.path, 'models')
let server: Running

beforeAll(async () => {
  for (const [name, onnx] of Object.entries(ZOO))
    await writeModel(models, name, { onnx: new Uint8Array(onnx) })
  const config = 'max_batch_size = 4\n'
  await writeModel(models, 'in-batches', { onnx: zoo.identity('FLOAT', ['batch', 3]), config })
  const sequences = 'max_batch_size = 4\n[sequences]\nstates = [{ input = "STATE", output = "NEXT" }]\n'
  await writeModel(models, 'in-sequences', { onnx: zoo.recorder(), config: sequences })
  // Not silero-vad: its open dimension is a stretch of sound, of which one sample is too little.
  for (const name of SHIPPED) await cp(join(MODELS, name), join(models, name), { recursive: true })
  const settings = join(folder.path, 'limpet.toml')
  await Bun.write(settings, '[http]\nbase_path = "/edge/limpet"\n')
  const command = [BINARY, 'serve', '--models', models, '--port', '0', '--config', settings]
  server = await startServing(folder.path, { command })
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await folder.remove()
})

test('the example of each model is answered as it is', async () => {
  const document = (await (await fetch(`${server.url}/v2/openapi.json`)).json()) as {
    servers: [{ url: string }]
    paths: Record<string, { post?: Operation }>
  }
  const base = `${new URL(server.url).origin}${document.servers[0].url}`
  expect(base).toBe(server.url)
  const answered = await Promise.all(
    Object.entries(document.paths).flatMap(([path, { post }]) => {
      const name = post?.['x-limpet-model']?.name
      if (post === undefined || name === undefined) return []
      const body = JSON.stringify(post.requestBody.content['application/json'].example)
      const ask = async () => {
        const response = await fetch(`${base}${path}`, { method: 'POST', body })
        const text = await response.text()
        return [name, response.status, ...(response.ok ? [] : [text])]
      }
      return [ask()]
    }),
  )
  const served = [...Object.keys(ZOO), 'in-batches', 'in-sequences', ...SHIPPED]
  expect(answered.sort()).toEqual(served.sort().map((name) => [name, 200]))
})

test('the page stands under the base path, and lists every model', async () => {
  const response = await fetch(`${server.url}/docs`)
  const page = await response.text()
  expect(response.status).toBe(200)
  for (const name of Object.keys(ZOO)) expect(page).toContain(`${server.url}/v2/models/${name}/infer`)
  expect((await fetch(`${new URL(server.url).origin}/docs`)).status).toBe(404)
})
