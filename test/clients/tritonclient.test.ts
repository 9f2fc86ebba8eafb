/** Clients from PyPI, as they are, against the compiled binary. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, startServing, writeModel } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { checksIn, missingPython, runChecks } from './python.ts'

const missing = missingPython()
if (missing !== undefined) console.warn(`The Python clients are not tested: ${missing}`)

/** Not built yet: what comes instead. A check that begins to pass fails here, and leaves the list. */
const EXPECTED_MISSING: Readonly<Record<string, RegExp>> = {
  'CUDA shared memory is unregistered though there is none': /CUDA shared memory: it is not supported/,
}

const SCRIPTS = [
  ['tritonclient.http', 'triton_sync.py'],
  ['tritonclient.http.aio', 'triton_aio.py'],
  ["KServe's InferenceRESTClient", 'kserve_client.py'],
] as const

const MODELS: Readonly<Record<string, Uint8Array>> = {
  simple: zoo.simple(),
  'to-unload': zoo.simple(),
  'of-bytes': zoo.stringIdentity(),
  'of-fp16': zoo.identity('FLOAT16'),
  'of-bf16': zoo.identity('BFLOAT16'),
  'of-fp32': zoo.identity('FLOAT'),
  'of-fp64': zoo.identity('DOUBLE'),
  'of-int64': zoo.identity('INT64'),
  'of-uint64': zoo.identity('UINT64'),
  'of-bool': zoo.identity('BOOL'),
  broken: new Uint8Array(0),
}

/** Adds up what the requests of a sequence bring. */
const COUNTING = `
max_batch_size = 8

[sequences]
idle_us_max = 60_000_000
states = [{ input = "STATE", output = "NEXT" }]
controls = [
  { name = "START", kind = "start", datatype = "INT32" },
  { name = "END", kind = "end", datatype = "INT32" },
  { name = "READY", kind = "ready", datatype = "INT32" },
  { name = "ID", kind = "id", datatype = "UINT64" },
]
`

/** Answers with all that its sequence has brought so far. */
const RECORDING = `
max_batch_size = 8

[sequences]
idle_us_max = 60_000_000
states = [{ input = "STATE", output = "NEXT" }]
`

const ENSEMBLES = {
  chain: `
    platform: "ensemble"
    input [ { name: "A" data_type: TYPE_INT32 dims: [ -1, 16 ] }, { name: "B" data_type: TYPE_INT32 dims: [ -1, 16 ] } ]
    output [ { name: "TWICE" data_type: TYPE_INT32 dims: [ -1, 16 ] } ]
    ensemble_scheduling { step [
      { model_name: "simple" model_version: -1
        input_map { key: "INPUT0" value: "A" } input_map { key: "INPUT1" value: "B" }
        output_map { key: "OUTPUT0" value: "sum" } output_map { key: "OUTPUT1" value: "difference" } },
      { model_name: "simple" model_version: -1
        input_map { key: "INPUT0" value: "sum" } input_map { key: "INPUT1" value: "difference" }
        output_map { key: "OUTPUT0" value: "TWICE" } } ] }`,
  follows: `
    platform: "ensemble"
    input { name: "IN" data_type: TYPE_FP32 dims: [ -1 ] }
    output { name: "OUT" data_type: TYPE_FP32 dims: [ -1 ] }
    ensemble_scheduling { step { model_name: "followed" model_version: -1
      input_map { key: "INPUT0" value: "IN" } output_map { key: "OUTPUT0" value: "OUT" } } }`,
}

describe.skipIf(missing !== undefined)('the client', () => {
  let folder: Awaited<ReturnType<typeof createFolder>>
  let server: Running

  beforeAll(async () => {
    folder = await createFolder()
    const models = join(folder.path, 'models')
    for (const [name, onnx] of Object.entries(MODELS)) await writeModel(models, name, { onnx })
    await writeModel(models, 'counting', { onnx: zoo.accumulator(), config: COUNTING })
    await writeModel(models, 'recording', { onnx: zoo.recorder(), config: RECORDING })
    await writeModel(models, 'followed', { onnx: zoo.identity('FLOAT') })
    await writeModel(models, 'kept', { onnx: zoo.identity('FLOAT'), config: 'response_cache = true' })
    for (const [name, text] of Object.entries(ENSEMBLES)) {
      await mkdir(join(models, name, '1'), { recursive: true })
      await Bun.write(join(models, name, 'config.pbtxt'), text)
    }
    const config = join(folder.path, 'limpet.toml')
    await Bun.write(config, '[http]\nshared_memory = true\n[inference]\ncache_bytes_max = 100_000\n')
    server = await startServing(folder.path, {
      command: [BINARY, 'serve', '--models', models, '--port', '0', '--config', config],
    })
  }, 60_000)

  afterAll(async () => {
    expect(await server.stop()).toBe(0)
    await folder.remove()
  })

  describe.each(SCRIPTS)('%s', (_, script) => {
    let results: ReadonlyMap<string, string | null>

    beforeAll(async () => {
      const env = { MODEL_FILE: join(folder.path, 'models/simple/1/model.onnx'), HOME: folder.path }
      results = await runChecks(script, { url: server.url, env })
    }, 60_000)

    test.each(checksIn(script))('%s', (name) => {
      const says = EXPECTED_MISSING[name]
      if (says === undefined) expect(results.get(name)).toBeNull()
      else expect(`${results.get(name)}`).toMatch(says)
    })

    test('every check was made', () => {
      expect([...results.keys()]).toEqual(checksIn(script))
    })
  })
})
