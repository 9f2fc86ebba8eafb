/** The compiled binary with a provider that compiles its models: each engine is built once, told of while it is, and read from then on. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  BINARY,
  createFolder,
  type Running,
  readLog,
  runToEnd,
  startServing,
  writeModel,
} from '../kit/binary.ts'
import { buildFakeProvider, WITHOUT_COMPILER } from '../kit/fake-provider/build.ts'
import * as zoo from '../kit/model-zoo.ts'
import { until } from '../kit/until.ts'
import { inferBinary, tensorOf } from '../kit/v2.ts'

const folder = await createFolder()
const started: Running[] = []
afterAll(async () => {
  // Also those of a test that failed half way.
  for (const server of started) await server.stop('SIGKILL')
  await folder.remove()
})
let library = ''

beforeAll(async () => {
  if (WITHOUT_COMPILER === '') library = await buildFakeProvider(join(folder.path, 'fake'))
})

interface Home {
  readonly path: string
  readonly config: string
  /** What the provider did, in order. */
  readonly did: () => Promise<string[]>
  /** What the provider is told. */
  readonly tell: (word: string) => Promise<void>
}

async function createHome(name: string, settings = ''): Promise<Home> {
  const path = join(folder.path, name)
  const [record, control] = [join(path, 'record'), join(path, 'control')]
  await writeModel(join(path, 'models'), 'sums', { onnx: zoo.simple() })
  const options = `engines = "{engine_cache}", record = "${record}", control = "${control}"`
  const provider = `provider_libraries = [{ name = "fake", path = "${library}" }]`
  const runtime = `[runtime]\nproviders = [{ name = "fake", options = { ${options} } }, "cpu"]\n${provider}\n`
  await writeFile(join(path, 'limpet.toml'), `${runtime}${settings}`)
  await writeFile(control, 'ok')
  return {
    path,
    config: join(path, 'limpet.toml'),
    did: async () => (await readFile(record, 'utf8')).split('\n').filter((line) => line.startsWith('engine')),
    tell: (word) => writeFile(control, word),
  }
}

async function serve(home: Home): Promise<Running> {
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
  started.push(server)
  return server
}

/** Once the provider has taken over from those that served meanwhile. */
async function serveBuilt(home: Home): Promise<Running> {
  const server = await serve(home)
  await until('the engine is there', async () => ((await indexOf(server))[0] === 'READY ' ? true : undefined))
  return server
}

async function sum({ url }: Running): Promise<number[]> {
  const row = (name: string) => tensorOf(name, 'INT32', { shape: [1, 16], data: new Int32Array(16).fill(21) })
  const outputs = await inferBinary(url, 'sums', [row('INPUT0'), row('INPUT1')])
  const { bytes } = outputs.get('OUTPUT0') ?? { bytes: new Uint8Array(4) }
  return [new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true)]
}

const engines = (home: Home) => readdir(join(home.path, 'state/engines'))

describe.skipIf(WITHOUT_COMPILER !== '')(`an engine${WITHOUT_COMPILER}`, () => {
  test('is built at the first start, and read at the next', async () => {
    const home = await createHome('twice')
    for (const _ of ['first', 'second']) {
      const server = await serveBuilt(home)
      expect(await sum(server)).toEqual([42])
      expect(await server.stop()).toBe(0)
    }
    // Built beside what served, and read by the lane that took over.
    expect(await home.did()).toEqual(['engine built', 'engine read', 'engine read'])
    expect(await engines(home)).toHaveLength(1)
  })

  test('that a probe has built is read by serve', async () => {
    const home = await createHome('probed')
    const command = [BINARY, 'probe', join(home.path, 'models/sums'), '--config', home.config]
    expect((await runToEnd(home.path, { command })).exitCode).toBe(0)
    const server = await serveBuilt(home)
    await server.stop()
    expect(await home.did()).toEqual(['engine built', 'engine read'])
  })

  test('with a turned bit is built anew, and is never given to the provider', async () => {
    const home = await createHome('rotten')
    await (await serveBuilt(home)).stop()
    const [key = ''] = await engines(home)
    await writeFile(join(home.path, 'state/engines', key, 'fake.engine'), 'a fake enginf')
    const server = await serveBuilt(home)
    expect(await sum(server)).toEqual([42])
    await server.stop()
    expect(await home.did()).toEqual(['engine built', 'engine read', 'engine built'])
    expect(await readLog(home.path)).toContain('engines.invalid')
  })

  test('is told of while it is built, where nothing else may serve meanwhile', async () => {
    const socket = join(folder.path, 's')
    const settings = `[engine_cache]\nserve_meanwhile = false\n[http]\nunix_socket = "${socket}"\n`
    const home = await createHome('slow', settings)
    await home.tell('hold')
    const starting = serve(home)
    const said = () => indexOf({ url: 'http://x', unix: socket }).catch((): string[] => [])
    await until(
      'it says that it builds',
      async () => (await said()).includes('LOADING building engine 1/1') || undefined,
    )
    await home.tell('ok')
    const server = await starting
    expect(await sum(server)).toEqual([42])
    await server.stop()
  })

  test('is not waited for: the processor serves until it is there, then the provider takes over', async () => {
    const home = await createHome('meanwhile')
    await home.tell('hold')
    const server = await serve(home)
    expect(await sum(server)).toEqual([42])
    const [while_ = ''] = await until('it says that it builds', async () => {
      const said = await indexOf(server)
      return said[0]?.includes('building engine 1/1') ? said : undefined
    })
    expect(while_).toBe(
      'READY serves without its engine: building engine 1/1; runs on CPUExecutionProvider; ' +
        'fake refused it: its engine is not built yet',
    )
    await home.tell('ok')
    await until('it has taken over', async () => ((await indexOf(server))[0] === 'READY ' ? true : undefined))
    expect(await sum(server)).toEqual([42])
    const metadata = (await (await fetch(`${server.url}/v2/models/sums`)).json()) as {
      properties: { providers: string[] }
    }
    expect(metadata.properties.providers[0]).toBe('FakeExecutionProvider')
    expect(await server.stop()).toBe(0)
    expect(await home.did()).toEqual(['engine built', 'engine read'])
  })

  test('does not keep the server from ending while it is built', async () => {
    const home = await createHome('ended')
    await home.tell('hold')
    const server = await serve(home)
    expect(await server.stop()).toBe(0)
    await home.tell('ok')
    await (await serveBuilt(home)).stop()
    expect((await engines(home)).filter((name) => name.startsWith('.'))).toEqual([])
  })

  test('that the provider cannot take today is kept, and the index says what serves instead', async () => {
    const home = await createHome('busy')
    await (await serveBuilt(home)).stop()
    await home.tell('refuse')
    const server = await serve(home)
    expect((await indexOf(server))[0]).toMatch(
      /^READY runs on CPUExecutionProvider; fake refused it: .*fake device is busy/,
    )
    expect(await sum(server)).toEqual([42])
    await server.stop()
    await home.tell('ok')
    await (await serveBuilt(home)).stop()
    expect(await home.did()).toEqual(['engine built', 'engine read', 'engine read'])
  })
})

interface Item {
  readonly state: string
  readonly reason?: string
}

async function indexOf({ url, unix }: { url: string; unix?: string }): Promise<string[]> {
  const response = await fetch(`${url}/v2/repository/index`, { method: 'POST', ...(unix && { unix }) })
  return ((await response.json()) as Item[]).map(({ state, reason = '' }) => `${state} ${reason}`)
}
