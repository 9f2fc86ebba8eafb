/** What models take of the memory, as the compiled binary measures it. */
import { afterAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { BINARY, createFolder, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'

const folder = await createFolder()
afterAll(() => folder.remove())

const WEIGHTS = 2 ** 24
const BYTES = WEIGHTS * 4

async function residentBytes(pid: number): Promise<number> {
  const status = await Bun.file(`/proc/${pid}/status`).text()
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}

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
  const before = await residentBytes(server.pid)
  expect(await control('unload')).toBe(200)
  expect(await measured()).toBeNaN()
  const index = async () =>
    await (await fetch(`${server.url}/v2/repository/index`, { method: 'POST' })).text()
  while (!(await index()).includes('"reason":"unloaded"'));
  const givenBack = before - (await residentBytes(server.pid))
  expect(givenBack / run).toBeGreaterThan(0.85)
  expect(givenBack / run).toBeLessThan(1.15)
  expect(await server.stop()).toBe(0)
}, 60_000)
