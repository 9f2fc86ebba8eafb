/** Several devices behind HAProxy as deploy/ configures it: one that is killed costs no client a request. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, freePort, type Running, startServing, writeModel } from '../kit/binary.ts'
import { eventually } from '../kit/device-link.ts'
import { HAPROXY, type RunningProxy, startHaproxy, WITHOUT_HAPROXY } from '../kit/haproxy.ts'
import { simple } from '../kit/model-zoo.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(120_000)

const CLIENTS = 8
const ROW = Array.from({ length: 16 }, (_, index) => index)
const REQUEST = JSON.stringify({
  inputs: ['INPUT0', 'INPUT1'].map((name) => ({ name, datatype: 'INT32', shape: [1, 16], data: ROW })),
})
const SUMS = ROW.map((value) => 2 * value)

describe.skipIf(HAPROXY === null)(`three devices behind HAProxy${WITHOUT_HAPROXY}`, () => {
  let folder: Awaited<ReturnType<typeof createFolder>>
  let proxy: RunningProxy
  const devices: Running[] = []

  async function startDevice(name: string, port: number): Promise<Running> {
    const home = join(folder.path, name)
    await mkdir(home, { recursive: true })
    return await startServing(home, {
      command: [BINARY, 'serve', '--models', join(folder.path, 'models'), '--port', String(port)],
    })
  }

  beforeAll(async () => {
    folder = await createFolder()
    await writeModel(join(folder.path, 'models'), 'simple', { onnx: simple() })
    for (const name of ['a', 'b', 'c']) devices.push(await startDevice(name, await freePort()))
    proxy = await startHaproxy(
      folder.path,
      devices.map(({ url }) => url),
    )
  })
  afterAll(async () => {
    await proxy?.stop()
    await Promise.all(devices.map((device) => device.stop('SIGKILL')))
    await folder?.remove()
  })

  test('one is killed in the middle: no request fails; it is passed over, and gets its share when it is back', async () => {
    const load = new Load(proxy.url)
    try {
      await load.more(200)
      for (const { url } of devices) expect(await answeredBy(url)).toBeGreaterThan(0)
      const [victim] = devices
      await victim?.stop('SIGKILL')
      await load.more(200)
      await eventually('it is passed over', async () =>
        /^(DOWN|MAINT)/.test((await proxy.server('device-1')).status),
      )
      await load.more(200)
      devices[0] = await startDevice('a', Number(new URL(victim?.url ?? '').port))
      await eventually('it gets its share again', async () => (await answeredBy(devices[0]?.url ?? '')) > 0)
      await load.more(200)
    } finally {
      await load.end()
    }
    expect(load.failures).toEqual([])
    expect(load.answers).toBeGreaterThanOrEqual(800)
  })
})

/** Clients that ask one request after the other, and look at each answer. */
class Load {
  answers = 0
  readonly failures: string[] = []
  readonly #url: string
  readonly #stop = new AbortController()
  readonly #clients: Promise<void>[]

  constructor(url: string) {
    this.#url = url
    this.#clients = Array.from({ length: CLIENTS }, () => this.#ask())
  }

  /** Resolves once so many more requests have ended, however they did. */
  async more(count: number): Promise<void> {
    const wanted = this.answers + this.failures.length + count
    await eventually(
      `${wanted} requests have ended`,
      () => this.answers + this.failures.length >= wanted,
      60_000,
    )
  }

  async end(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#clients)
  }

  async #ask(): Promise<void> {
    while (!this.#stop.signal.aborted && this.failures.length < 100) {
      try {
        const answer = await fetch(`${this.#url}/v2/models/simple/infer`, { method: 'POST', body: REQUEST })
        const text = await answer.text()
        if (answer.status !== 200) throw new Error(`${answer.status}: ${text}`)
        const { outputs } = JSON.parse(text) as { outputs: { data: number[] }[] }
        expect(outputs[0]?.data).toEqual(SUMS)
        this.answers += 1
      } catch (error) {
        this.failures.push(String(error))
      }
    }
  }
}

/** Requests that the device itself has answered. */
async function answeredBy(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/^nv_inference_request_success\{model="simple"[^}]*\} (\d+)$/m.exec(text)?.[1] ?? 0)
}
