/**
 * The compiled binary under change: 500 times load, infer, unload; 100 loads that fail; 100 changes of version under
 * load, forth and back. Resident memory has to end within 5 % of where it stood after the first tenth, no request may
 * fail or be answered by a version that was not asked for, and the slowest 1 % of the answers during the changes is
 * printed beside those before. Exits 1 when anything was wrong.
 *
 *   bun scripts/soak-serve.ts [--scale 0.1]
 */
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BINARY, MODELS, startServing } from '../test/kit/binary.ts'
import { simple } from '../test/kit/model-zoo.ts'
import { encodeBinary, tensorOf } from '../test/kit/v2.ts'
import { describeMachine, residentBytes } from './bench-kit.ts'

const scale = process.argv.includes('--scale') ? Number(process.argv[process.argv.indexOf('--scale') + 1]) : 1
const CYCLES = 500 * scale
const FAILURES = 100 * scale
const CHANGES = 100 * scale
const GROWTH_MAX = 0.05
const CLIENTS = 2

const folder = await mkdtemp(join(tmpdir(), 'limpet-soak-'))
const models = join(folder, 'models')
const aside = join(folder, 'aside')
await mkdir(aside)
await cp(join(MODELS, 'text-orientation'), join(models, 'cycled'), { recursive: true })
await cp(join(MODELS, 'text-orientation'), join(models, 'changed'), { recursive: true })
await cp(join(MODELS, 'text-orientation/1'), join(aside, '2'), { recursive: true })
await Bun.write(join(models, 'broken/1/model.onnx'), simple().slice(0, 50))

let wrong = 0
const fault = (what: string) => {
  wrong += 1
  if (wrong <= 10) console.log(`  WRONG: ${what}`)
}

console.log(describeMachine())
const server = await startServing(folder, { command: [BINARY, 'serve', '--models', models, '--port', '0'] })
const request = encodeBinary([
  tensorOf('x', 'FP32', { shape: [1, 3, 48, 192], data: new Float32Array(3 * 48 * 192).fill(0.3) }),
])
await phase('load, infer, unload', CYCLES, async () => {
  await control('load', 'cycled', 200)
  if ((await infer('cycled')).version !== '1') fault('a loaded model did not answer')
  await control('unload', 'cycled', 200)
})
await phase('loads that fail', FAILURES, () => control('load', 'broken', 400))
await changeUnderLoad()
if ((await server.stop()) !== 0) fault('the server did not end well')
await rm(folder, { recursive: true })
console.log(wrong === 0 ? 'nothing was wrong' : `${wrong} things were wrong`)
process.exit(wrong === 0 ? 0 : 1)

async function phase(name: string, times: number, work: () => Promise<void>): Promise<void> {
  let tenth = 0
  for (let done = 1; done <= times; done += 1) {
    await work()
    if (done === Math.ceil(times / 10)) tenth = await residentBytes(server.pid)
  }
  const end = await residentBytes(server.pid)
  const growth = end / tenth - 1
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)
  console.log(
    `${name}: ${times} times; memory after a tenth ${megabytes(tenth)} MB, at the end ${megabytes(end)} MB ` +
      `(${(growth * 100).toFixed(1)} %)`,
  )
  if (growth > GROWTH_MAX) fault(`${name}: memory grew by ${(growth * 100).toFixed(1)} %`)
}

async function control(verb: 'load' | 'unload', model: string, expected: number): Promise<void> {
  const response = await fetch(`${server.url}/v2/repository/models/${model}/${verb}`, { method: 'POST' })
  const text = await response.text()
  if (response.status !== expected)
    fault(`${verb} ${model}: ${response.status} ${text}, expected ${expected}`)
}

async function infer(model: string): Promise<{ version: string; tookMs: number }> {
  const began = performance.now()
  const response = await fetch(`${server.url}/v2/models/${model}/infer`, { method: 'POST', ...request })
  const bytes = Buffer.from(await response.arrayBuffer())
  const tookMs = performance.now() - began
  const header = Number(response.headers.get('inference-header-content-length') ?? bytes.length)
  const text = bytes.toString('utf8', 0, header)
  if (response.status !== 200) fault(`${model}: ${response.status} ${text}`)
  return { version: /"model_version":"(\w+)"/.exec(text)?.[1] ?? '', tookMs }
}

/** Clients ask without a pause; beside them, the version that is ready has to answer as soon as loading it has. */
async function changeUnderLoad(): Promise<void> {
  const quiet = await askFor(() => Bun.sleep(3_000 * Math.max(scale, 0.3)))
  const during = await askFor(async () => {
    for (let change = 0; change < CHANGES; change += 1) {
      await rename(join(aside, '2'), join(models, 'changed/2'))
      await changeTo('2')
      await rename(join(models, 'changed/2'), join(aside, '2'))
      await changeTo('1')
    }
  })
  console.log(
    `${CHANGES} changes forth and back under load: ${during.count} answers, p99 ${during.p99.toFixed(1)} ms during, ` +
      `${quiet.p99.toFixed(1)} ms before (${(during.p99 / quiet.p99).toFixed(2)} times)`,
  )
}

async function changeTo(version: string): Promise<void> {
  await control('load', 'changed', 200)
  const answered = (await infer('changed')).version
  if (answered !== version) fault(`version ${answered} answered after ${version} was ready`)
}

async function askFor(work: () => Promise<void>): Promise<{ count: number; p99: number }> {
  const times: number[] = []
  let isDone = false
  const client = async () => {
    while (!isDone) {
      times.push((await infer('changed')).tookMs)
    }
  }
  const clients = Array.from({ length: CLIENTS }, client)
  await work()
  isDone = true
  await Promise.all(clients)
  times.sort((a, b) => a - b)
  return { count: times.length, p99: times[Math.floor(times.length * 0.99)] ?? Number.NaN }
}
