/** The compiled binary goes on answering when a provider fails while it runs, and says what it has done. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, readLog, startServing, writeModel } from '../kit/binary.ts'
import { buildFakeProvider, WITHOUT_COMPILER } from '../kit/fake-provider/build.ts'
import * as zoo from '../kit/model-zoo.ts'
import { inferBinary, tensorOf } from '../kit/v2.ts'

const folder = await createFolder()
const here = (name: string) => join(folder.path, name)
afterAll(folder.remove)

const CONFIG = `[runtime]
threads = 2
providers = ["fake", "cpu"]
provider_libraries = [{ name = "fake", path = "${here('libfake_provider.so')}" }]`

const COUNTER = 'max_batch_size = 4\n[sequences]\nstates = [{ input = "STATE", output = "NEXT" }]'

describe.skipIf(WITHOUT_COMPILER !== '')(`a provider that fails while it runs${WITHOUT_COMPILER}`, () => {
  const control = (word: string) => writeFile(here('control'), word)
  let server: Running | undefined
  let count = 0

  beforeAll(async () => {
    await buildFakeProvider(folder.path)
    await writeFile(here('limpet.toml'), CONFIG)
    await writeModel(here('models'), 'simple', { onnx: zoo.simple() })
    await writeModel(here('models'), 'batched', {
      onnx: zoo.simple(),
      config: 'max_batch_size = 8\n[batching]\nqueue_delay_us_max = 20_000',
    })
    await writeModel(here('models'), 'counter', { onnx: zoo.counter(), config: COUNTER })
  })
  afterAll(() => server?.stop('SIGKILL'))

  async function serve() {
    const home = here(`home-${count++}`)
    await mkdir(home)
    await control('ok')
    const command = [
      BINARY,
      'serve',
      '--models',
      here('models'),
      '--port',
      '0',
      '--config',
      here('limpet.toml'),
    ]
    const running = await startServing(home, { command, env: { LIMPET_FAKE_CONTROL: here('control') } })
    server = running
    const { url } = running
    const row = (name: string, value: number) =>
      tensorOf(name, 'INT32', { shape: [1, 16], data: new Int32Array(16).fill(value) })
    return {
      /** The sum of both, or what came instead. */
      add: async (model: string, a: number, b: number): Promise<number | string> => {
        const answer = await inferBinary(url, model, [row('INPUT0', a), row('INPUT1', b)]).catch(String)
        if (typeof answer === 'string') return answer
        return new Int32Array(answer.get('OUTPUT0')?.bytes.slice().buffer ?? new ArrayBuffer(4))[0] ?? 0
      },
      count: async (value: number, more: object = {}): Promise<number> => {
        const one = tensorOf('INPUT0', 'INT32', { shape: [1, 1], data: Int32Array.of(value) })
        const answer = await inferBinary(url, 'counter', [one], { sequence_id: 7, ...more })
        return new Int32Array(answer.get('OUTPUT0')?.bytes.slice().buffer ?? new ArrayBuffer(4))[0] ?? 0
      },
      reasons: async () => {
        const index = await fetch(`${url}/v2/repository/index`, { method: 'POST' })
        const versions = (await index.json()) as { name: string; state: string; reason?: string }[]
        return Object.fromEntries(
          versions.map(({ name, state, reason = '' }) => [name, `${state} ${reason}`]),
        )
      },
      providers: async (model: string) => {
        const metadata = await (await fetch(`${url}/v2/models/${model}`)).json()
        return (metadata as { properties: { providers: string[] } }).properties.providers
      },
      metrics: async () => await (await fetch(`${url}/metrics`)).text(),
      stop: async () => {
        expect(await running.stop()).toBe(0)
        return await readLog(home)
      },
    }
  }

  test('for good: each request is answered, in flight or in a batch, sequences go on, and it is seen everywhere', async () => {
    const { add, count: counted, reasons, providers, metrics, stop } = await serve()
    expect([await add('simple', 1, 2), await add('batched', 1, 2)]).toEqual([3, 3])
    expect(await counted(5, { sequence_start: true })).toBe(5)
    expect(await providers('simple')).toEqual(['FakeExecutionProvider', 'CPUExecutionProvider'])
    expect(await metrics()).toContain('limpet_provider_failed_runs_total{model="simple",version="1"} 0\n')
    await control('lost')
    const all = Array.from({ length: 20 }, (_, index) =>
      add(index % 2 === 0 ? 'simple' : 'batched', index, 100),
    )
    expect(await Promise.all(all)).toEqual(Array.from({ length: 20 }, (_, index) => index + 100))
    // What the sequence had come to was never on the device.
    expect([await counted(6), await counted(7)]).toEqual([11, 18])
    const lost = 'READY runs on CPUExecutionProvider; fake failed while it ran: '
    for (const reason of Object.values(await reasons())) {
      expect(reason).toStartWith(lost)
      expect(reason).toContain('fake device lost: it does not answer any more')
    }
    expect(await providers('simple')).toEqual(['CPUExecutionProvider'])
    const said = await metrics()
    for (const model of ['simple', 'batched', 'counter']) {
      const labels = `{model="${model}",version="1"`
      expect(said).toContain(`limpet_lane_provider_failed${labels},provider="fake"} 1\n`)
      expect(said).toContain(`limpet_provider_replacements_total${labels}} 1\n`)
      expect(said).toMatch(new RegExp(`limpet_provider_repeated_runs_total${labels}} [1-9]`))
      expect(said).toContain(`nv_inference_request_failure${labels},reason="BACKEND"} 0\n`)
    }
    expect(await stop()).toContain('"event":"runtime.provider_failed"')
  })

  test('now and then costs only those requests; three in a row, and the processor takes over', async () => {
    const { add, reasons, stop } = await serve()
    expect(await add('simple', 1, 2)).toBe(3)
    await control('fail')
    const refused = [await add('simple', 1, 2), await add('simple', 1, 2)]
    for (const answer of refused)
      expect(answer).toMatch(/500: .*fake kernel failed: told to by the control file/)
    await control('ok')
    expect(await add('simple', 4, 5)).toBe(9)
    expect((await reasons())['simple']).toBe('READY ')
    await control('fail')
    expect([await add('simple', 1, 2), await add('simple', 1, 2)]).toEqual(refused)
    expect([await add('simple', 6, 7), await add('simple', 8, 9)]).toEqual([13, 17])
    expect((await reasons())['simple']).toMatch(
      /^READY runs on CPUExecutionProvider; fake failed while it ran: /,
    )
    await stop()
  })
})
