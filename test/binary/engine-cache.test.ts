/** What the compiled binary keeps of models: the next start uses it, and nothing but what was written. */
import { afterAll, describe, expect, test } from 'bun:test'
import { chmod, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  BINARY,
  createFolder,
  MODELS,
  type Running,
  readLog,
  runToEnd,
  startServing,
  writeModel,
} from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { inferBinary, tensorOf } from '../kit/v2.ts'

const folder = await createFolder()
afterAll(() => folder.remove())

/** Two with something to be won, of which one keeps a state, and one that is too small. */
const KEPT = ['text-orientation', 'silero-vad']

interface Home {
  readonly path: string
  readonly engines: string
  readonly config: string
}

async function createHome(name: string, settings = ''): Promise<Home> {
  const path = join(folder.path, name)
  for (const model of KEPT) await cp(join(MODELS, model), join(path, 'models', model), { recursive: true })
  await writeModel(join(path, 'models'), 'small', { onnx: zoo.simple() })
  await writeFile(join(path, 'limpet.toml'), settings)
  return { path, engines: join(path, 'state/engines'), config: join(path, 'limpet.toml') }
}

interface Described {
  readonly properties: { placement?: unknown }
}

interface Counts {
  readonly [outcome: string]: number
}

/** Serves once, and tells what it made of the cache and what a model answered. */
async function serveOnce(home: Home, use: (server: Running) => Promise<unknown> = async () => undefined) {
  const command = [
    BINARY,
    'serve',
    '--models',
    join(home.path, 'models'),
    '--config',
    home.config,
    '--port',
    '0',
  ]
  const server = await startServing(home.path, { command })
  try {
    const given = await use(server)
    const x = { shape: [1, 3, 48, 192], data: new Float32Array(3 * 48 * 192).map((_, at) => Math.sin(at)) }
    const answer = await inferBinary(server.url, 'text-orientation', [tensorOf('x', 'FP32', x)])
    const text = await (await fetch(`${server.url}/metrics`)).text()
    const counts: Record<string, number> = {}
    for (const [, word = '', value] of text.matchAll(/^limpet_engine_cache_\w+\{\w+="(\w+)"\} (\d+)$/gm))
      counts[word] = Number(value)
    const described = (await (await fetch(`${server.url}/v2/models/silero-vad`)).json()) as Described
    // How many nodes there are is what was made of the model.
    delete described.properties.placement
    return { counts: counts as Counts, answer: Bun.inspect(answer, { depth: 9 }), described, given, text }
  } finally {
    await server.stop()
  }
}

const doctor = async (home: Home) => {
  const command = [BINARY, 'doctor', '--json', '--config', home.config]
  const { stdout } = await runToEnd(home.path, { command })
  const { checks } = JSON.parse(stdout) as { checks: { topic: string; status: string; text: string }[] }
  return checks.filter(({ topic }) => topic === 'engines').map(({ status, text }) => `${status} ${text}`)
}

const entriesOf = async (home: Home) => (await readdir(home.engines)).sort()

test('the second start loads what the first one made, and answers the same to the last bit', async () => {
  const home = await createHome('twice')
  const first = await serveOnce(home)
  expect(first.counts).toEqual({
    hit: 0,
    miss: 2,
    unfit: 0,
    kept: expect.any(Number),
    invalid: 0,
    evicted: 0,
    failed: 0,
  })
  expect(await entriesOf(home)).toHaveLength(2)
  const second = await serveOnce(home)
  expect(second.counts).toMatchObject({ hit: 2, miss: 0, kept: 0, invalid: 0, failed: 0 })
  expect(second.answer).toBe(first.answer)
  expect(second.described).toEqual(first.described)
  const said = await doctor(home)
  expect(said[0]).toMatch(/^ok 2 kept for the next start, \d/)
  expect(
    said
      .slice(1)
      .map((line) => line.replace(/ \(.*$/, ''))
      .sort(),
  ).toEqual(['ok silero-vad/1', 'ok text-orientation/1'])
})

test('a probe keeps what serve then loads', async () => {
  const home = await createHome('probed')
  for (const model of KEPT) {
    const command = [BINARY, 'probe', join(home.path, 'models', model), '--config', home.config]
    expect((await runToEnd(home.path, { command })).exitCode).toBe(0)
  }
  expect((await serveOnce(home)).counts).toMatchObject({ hit: 2, miss: 0 })
})

test('a turned bit is found, told by doctor, and what it was in is made anew', async () => {
  const home = await createHome('rotten')
  const first = await serveOnce(home)
  for (const key of await entriesOf(home)) {
    const path = join(home.engines, key, 'model.onnx')
    const bytes = await readFile(path)
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0x40
    await writeFile(path, bytes)
  }
  expect((await doctor(home)).filter((line) => line.startsWith('fault'))).toHaveLength(2)
  const second = await serveOnce(home)
  expect(second.counts).toMatchObject({ hit: 0, miss: 2, invalid: 2, failed: 0 })
  expect(second.answer).toBe(first.answer)
  expect(await readLog(home.path)).toContain('is not what was written')
  expect((await serveOnce(home)).counts).toMatchObject({ hit: 2, invalid: 0 })
})

test('a load again of what serves, and another version with the same content, need nothing made', async () => {
  const home = await createHome('versions')
  await serveOnce(home)
  const version = join(home.path, 'models/text-orientation')
  await cp(join(version, '1'), join(version, '2'), { recursive: true })
  const load = (server: Running) =>
    fetch(`${server.url}/v2/repository/models/text-orientation/load`, { method: 'POST' })
  const { counts, given } = await serveOnce(home, load)
  expect((given as Response).status).toBe(200)
  expect(counts).toMatchObject({ hit: 3, miss: 0 })
})

test('other settings of a model do not find what was made with these', async () => {
  const home = await createHome('settings')
  await serveOnce(home)
  const toml = join(home.path, 'models/text-orientation/config.toml')
  await writeFile(toml, `${await readFile(toml, 'utf8')}\n[session]\ngraph_optimization = "extended"\n`)
  expect((await serveOnce(home)).counts).toMatchObject({ hit: 1, miss: 1 })
  expect(await entriesOf(home)).toHaveLength(3)
})

test('what a client sends is not kept, and a model that wishes so is not either', async () => {
  const home = await createHome('sent')
  await writeFile(join(home.path, 'models/silero-vad/config.toml'), '[session]\nengine_cache = false\n')
  const bytes = Buffer.from(await readFile(join(MODELS, 'text-orientation/1/model.onnx')))
  const parameters = { config: '{}', 'file:1/model.onnx': bytes.toString('base64') }
  const body = JSON.stringify({ parameters })
  const { given } = await serveOnce(home, (server) =>
    fetch(`${server.url}/v2/repository/models/sent/load`, { method: 'POST', body }),
  )
  expect((given as Response).status).toBe(200)
  expect(await entriesOf(home)).toHaveLength(1)
})

describe('where nothing can be kept', () => {
  test('serving goes on, and metrics, log and doctor say so', async () => {
    const home = await createHome('shared')
    await mkdir(home.engines, { recursive: true })
    await chmod(home.engines, 0o777)
    const { counts, text } = await serveOnce(home)
    expect(counts).toMatchObject({ hit: 0, kept: 0 })
    expect(text).toContain('limpet_engine_cache_usable 0')
    expect(await readLog(home.path)).toContain('engines.cache_unusable')
    expect((await doctor(home))[0]).toStartWith('fault what is kept of models is not used')
  })

  test('nor is wished for, nothing is made', async () => {
    const home = await createHome('off', '[engine_cache]\npolicy = "off"\n')
    expect((await serveOnce(home)).counts).toEqual({})
    expect(await readdir(join(home.path, 'state'))).not.toContain('engines')
    expect((await doctor(home))[0]).toStartWith('note nothing made of models is kept')
  })

  test('because it is too much, the rest is kept', async () => {
    const home = await createHome('narrow', '[engine_cache]\nbytes_max = 1_000_000\n')
    await serveOnce(home)
    expect((await serveOnce(home)).counts).toMatchObject({ hit: 1, evicted: 0 })
  })
})
