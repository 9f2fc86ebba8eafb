/** Another libonnxruntime.so by `runtime.library`: the oldest that Limpet takes, and files that it cannot take. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { dirname, join } from 'node:path'
import { API_VERSION_MIN } from '../../src/runtime/ort-symbols.ts'
import { BINARY, createFolder, runToEnd, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { inferBinary, inferJson, tensorOf } from '../kit/v2.ts'

const folder = await createFolder()
const library = join(
  dirname(require.resolve('onnxruntime-node-old/package.json')),
  `bin/napi-v3/linux/${process.arch}/libonnxruntime.so.1.16.3`,
)
const models = { simple: zoo.simple(), strings: zoo.stringIdentity(), scalar: zoo.identity('FLOAT', []) }

async function withLibrary(path: string): Promise<string[]> {
  const config = join(folder.path, 'limpet.toml')
  await Bun.write(config, `[runtime]\nlibrary = ${JSON.stringify(path)}\n`)
  return ['--config', config, '--models', 'models']
}

beforeAll(async () => {
  for (const [name, bytes] of Object.entries(models))
    await Bun.write(join(folder.path, `models/${name}/1/model.onnx`), bytes)
})
afterAll(() => folder.remove())

test(`ONNX Runtime 1.${API_VERSION_MIN} serves numbers, strings and scalars`, async () => {
  const args = await withLibrary(library)
  const doctor = await runToEnd(folder.path, { command: [BINARY, 'doctor', ...args] })
  expect(doctor.stdout).toContain(`ONNX Runtime 1.16.3, C API ${API_VERSION_MIN}`)
  expect(doctor.stdout).toContain('simple 1: placement: not known: ONNX Runtime tells')
  expect(doctor.exitCode).toBe(0)

  const server = await startServing(folder.path, { command: [BINARY, 'serve', ...args, '--port', '0'] })
  try {
    const row = (name: string, value: number) =>
      tensorOf(name, 'INT32', { shape: [1, 16], data: new Int32Array(16).fill(value) })
    const sums = await inferBinary(server.url, 'simple', [row('INPUT0', 40), row('INPUT1', 2)])
    expect(new Int32Array(sums.get('OUTPUT0')?.bytes.slice().buffer ?? new ArrayBuffer(0))).toEqual(
      new Int32Array(16).fill(42),
    )
    const strings = '{"inputs":[{"name":"INPUT0","datatype":"BYTES","shape":[2],"data":["a","ü"]}]}'
    expect((await inferJson(server.url, 'strings', strings)).text).toContain('"data":["a","ü"]')
    const scalar = '{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[],"data":[1.5]}]}'
    expect((await inferJson(server.url, 'scalar', scalar)).text).toContain('"shape":[],"data":[1.5]')
    const metadata = (await (await fetch(`${server.url}/v2/models/simple`)).json()) as { properties: object }
    expect(metadata.properties).toMatchObject({ placement: null })
  } finally {
    await server.stop()
  }
})

test.each([
  ['is not there', '/nowhere/libonnxruntime.so'],
  ['is no library', BINARY.replace(/[^/]+$/, 'limpet-linux-x64.stamp')],
  ['is another library', '/usr/lib/x86_64-linux-gnu/libm.so.6'],
])('a library that %s ends the start with what to do', async (_, path) => {
  const { stderr, exitCode } = await runToEnd(folder.path, {
    command: [BINARY, 'serve', ...(await withLibrary(path))],
  })
  expect(stderr).toContain(path)
  expect(stderr).toContain('runtime.library')
  expect(exitCode).toBe(78)
})
