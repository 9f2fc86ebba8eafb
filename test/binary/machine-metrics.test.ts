/** What the compiled binary says of the machine at /metrics: Triton's names, in the form that its clients look for. */
import { afterAll, expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, runToEnd, startServing } from '../kit/binary.ts'
import { buildFakeNvml, HAS_COMPILER } from '../kit/fake-nvml.ts'

const folder = await createFolder()
const models = join(folder.path, 'models')
await mkdir(models)

afterAll(() => folder.remove())

const serve = [BINARY, 'serve', '--models', models, '--port', '0']

async function scrape(url: string): Promise<string> {
  return await (await fetch(`${url}/metrics`)).text()
}

test('processors and memory, and no GPU where there is none', async () => {
  const server = await startServing(folder.path, { command: serve })
  const text = await scrape(server.url)
  expect(text).toMatch(/\nnv_cpu_utilization [0-9.]+\n/)
  expect(text).toMatch(/\nnv_cpu_memory_total_bytes [1-9]\d+\n/)
  expect(text).toMatch(/\nnv_cpu_memory_used_bytes [1-9]\d+\n/)
  expect(text).not.toContain('nv_gpu')
  expect(await server.stop()).toBe(0)
})

const withCompiler = test.skipIf(!HAS_COMPILER)

withCompiler('GPUs by their one label, and only what they know', async () => {
  const nvml = await buildFakeNvml(join(folder.path, 'good'))
  const env = { LD_LIBRARY_PATH: nvml.folder }
  const server = await startServing(folder.path, { command: serve, env })
  const lines = (await scrape(server.url)).split('\n').filter((line) => /^nv_(gpu|energy)/.test(line))
  expect(lines).toEqual([
    'nv_gpu_utilization{gpu_uuid="GPU-first"} 0.37',
    'nv_gpu_memory_total_bytes{gpu_uuid="GPU-first"} 8000000000',
    'nv_gpu_memory_used_bytes{gpu_uuid="GPU-first"} 3000000000',
    'nv_gpu_power_usage{gpu_uuid="GPU-first"} 45.5',
    'nv_gpu_power_limit{gpu_uuid="GPU-first"} 70',
    'nv_energy_consumption{gpu_uuid="GPU-first"} 123.456',
  ])
  expect(await server.stop()).toBe(0)
  const { stdout } = await runToEnd(folder.path, { command: [BINARY, 'doctor'], env })
  expect(stdout).toContain('GPU-first, 7.5 GiB')
  expect(stdout).toContain('GPU-second, memory unknown')
})

withCompiler(
  'a driver that hangs keeps nothing from being served, or from stopping',
  async () => {
    const nvml = await buildFakeNvml(join(folder.path, 'hangs'), { hangs: true })
    const env = { LD_LIBRARY_PATH: nvml.folder }
    const server = await startServing(folder.path, { command: serve, env })
    const [text, health] = await Promise.all([scrape(server.url), fetch(`${server.url}/v2/health/live`)])
    expect(health.status).toBe(200)
    expect(text).toContain('nv_cpu_utilization')
    expect(text).not.toContain('nv_gpu')
    expect(await server.stop()).toBe(0)
  },
  20_000,
)
