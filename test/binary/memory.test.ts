/** What models take of the memory, as the compiled binary measures it. */
import { afterAll, expect, test } from 'bun:test'
import { getPriority } from 'node:os'
import { join } from 'node:path'
import { Glob } from 'bun'
import { BINARY, createFolder, type Running, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'

const folder = await createFolder()
afterAll(() => folder.remove())

const WEIGHTS = 2 ** 24
const BYTES = WEIGHTS * 4

async function residentBytes(pid: number): Promise<number> {
  const status = await Bun.file(`/proc/${pid}/status`).text()
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}

/** Bytes that the process gives back when a model goes. */
async function unloading(server: Running, model: string): Promise<number> {
  const before = await residentBytes(server.pid)
  const unload = await fetch(`${server.url}/v2/repository/models/${model}/unload`, { method: 'POST' })
  expect(unload.status).toBe(200)
  const index = async () =>
    await (await fetch(`${server.url}/v2/repository/index`, { method: 'POST' })).text()
  while (!(await index()).includes('"reason":"unloaded"'));
  return before - (await residentBytes(server.pid))
}

async function niceValues(pid: number): Promise<number[]> {
  const stats = await Array.fromAsync(new Glob('*/stat').scan(`/proc/${pid}/task`), (path) =>
    Bun.file(`/proc/${pid}/task/${path}`)
      .text()
      .catch(() => ''),
  )
  // proc(5): the 19th field; names may hold spaces, what comes after their bracket does not.
  return stats.filter((stat) => stat !== '').map((stat) => Number(stat.split(') ').at(-1)?.split(' ')[16]))
}

test('weights are in it once, whatever the number of threads that run them', async () => {
  await Bun.write(join(folder.path, 'once/table/1/model.onnx'), zoo.table(WEIGHTS))
  const body = '{"inputs":[{"name":"INPUT0","datatype":"INT64","shape":[1],"data":[5]}]}'
  for (const threads of [1, 8]) {
    await Bun.write(join(folder.path, 'limpet.toml'), `[runtime]\nthreads = ${threads}\n`)
    const args = ['--models', 'once', '--config', 'limpet.toml', '--port', '0']
    const server = await startServing(folder.path, { command: [BINARY, 'serve', ...args] })
    const answers = Array.from({ length: 32 }, async () => {
      const answer = await fetch(`${server.url}/v2/models/table/infer`, { method: 'POST', body })
      expect(await answer.json()).toMatchObject({ outputs: [{ data: [5] }] })
    })
    await Promise.all(answers)
    const givenBack = await unloading(server, 'table')
    // One copy for each of eight threads would be 8. What loading left to the allocator may be given back only now:
    // at most the file once more, and some megabytes of the process's own.
    expect(givenBack / BYTES).toBeGreaterThan(0.6)
    expect(givenBack / BYTES).toBeLessThan(3)
    // Loading lets runs go first, which themselves go before nobody.
    const nice = await niceValues(server.pid)
    const own = getPriority()
    expect([...new Set(nice)].sort((a, b) => a - b)).toEqual([own, own + 10])
    expect(nice.filter((value) => value === own + 10).length).toBe(1)
    expect(await server.stop()).toBe(0)
  }
}, 60_000)

test('of a lane are its weights, and what its runs grow to: as much as the process gives back when it goes', async () => {
  await Bun.write(join(folder.path, 'models/small/1/model.onnx'), zoo.simple())
  const command = [BINARY, 'serve', '--models', 'models', '--port', '0']
  const server = await startServing(folder.path, { command })
  const control = async (verb: string) =>
    (await fetch(`${server.url}/v2/repository/models/heavy/${verb}`, { method: 'POST' })).status
  const measured = async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text()
    return Number(/limpet_lane_memory_bytes\{model="heavy",version="1"\} (\d+)/.exec(text)?.[1])
  }

  await Bun.write(join(folder.path, 'models/heavy/1/model.onnx'), zoo.heavy(WEIGHTS))
  expect(await control('load')).toBe(200)
  const loaded = await measured()
  expect(loaded).toBeGreaterThanOrEqual(BYTES)
  expect(loaded).toBeLessThan(BYTES * 1.1)

  const body = '{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1],"data":[1]}]}'
  for (let run = 0; run < 5; run += 1) {
    const answer = await fetch(`${server.url}/v2/models/heavy/infer`, { method: 'POST', body })
    expect(await answer.json()).toMatchObject({ outputs: [{ data: [2] }] })
  }
  const run = await measured()
  expect(run).toBeGreaterThanOrEqual(BYTES * 2)
  const { model_stats } = (await (await fetch(`${server.url}/v2/models/heavy/stats`)).json()) as {
    model_stats: [{ memory_usage: unknown }]
  }
  expect(model_stats[0].memory_usage).toEqual([{ type: 'CPU', id: 0, byte_size: run }])
  const givenBack = await unloading(server, 'heavy')
  expect(await measured()).toBeNaN()
  // Some megabytes either way are the process's own.
  expect(givenBack / run).toBeGreaterThan(0.7)
  expect(givenBack / run).toBeLessThan(1.3)
  expect(await server.stop()).toBe(0)
}, 60_000)
