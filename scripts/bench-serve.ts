/**
 * Requests a second through the compiled binary, each figure beside floors of the same run: a bare loop of runs on as
 * many threads as the server has, a bare Bun.serve that reads the same body, and one that also runs the model and does
 * nothing else (bench-floor.ts). Beside it the processor time of a request, the server's and the generator's, which other
 * work on the machine does not change, and how long the event loop was held up at most. The load is wrk (Debian package),
 * which is left unpinned with `--unpinned`; otherwise the server has core 0 and wrk core 1.
 *
 *   bun scripts/bench-serve.ts [--unpinned] [--seconds 3] [--model text-orientation] [--connections 8,32]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { decodeInferRequest } from '../src/http/infer-request.ts'
import { BINARY, MODELS, startServing } from '../test/kit/binary.ts'
import { BENCH_MODELS, type Body, binaryBody, jsonBody } from './bench-cases.ts'
import { describeMachine } from './bench-kit.ts'
import { cpuMicrosOf, type LoadResult, load, longestDelayMs } from './bench-load.ts'

const { values: options } = parseArgs({
  options: {
    unpinned: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '3' },
    model: { type: 'string' },
    connections: { type: 'string', default: '1,8,32,64' },
  },
})
const isPinned = !options.unpinned
const seconds = Number(options.seconds)
const connectionCounts = options.connections.split(',').map(Number)
const threads = isPinned ? 1 : 2
const FLOOR = join(import.meta.dir, 'bench-floor.ts')

const folder = await mkdtemp(join(tmpdir(), 'limpet-bench-'))
const pin = (core: number) => (isPinned ? ['taskset', '-c', String(core)] : [])
const where = isPinned ? 'server on core 0, wrk on core 1' : 'nothing pinned'
console.log(`${describeMachine()}; ${where}; ${seconds} s each\n`)
if (options.model === undefined) measureDecoding()
const server = await startServing(folder, {
  command: [...pin(0), BINARY, 'serve', '--models', MODELS, '--port', '0'],
})
try {
  for (const model of BENCH_MODELS) {
    if (options.model === undefined || options.model === model) await measure(model)
  }
} finally {
  await server.stop()
  await rm(folder, { recursive: true })
}
process.exit(0)

/** In this process, the best of many: what a client's numbers cost to become a tensor. */
function measureDecoding(): void {
  const { body } = jsonBody('text-orientation')
  const bytes = new Uint8Array(body).buffer
  let best = Number.POSITIVE_INFINITY
  for (let times = 0; times < 200; times += 1) {
    const began = performance.now()
    decodeInferRequest(bytes, null)
    best = Math.min(best, performance.now() - began)
  }
  const rate = (of: number) => `${(of / best / 1000).toFixed(0)} MB/s`
  console.log(
    `JSON of a tensor of 110,592 bytes: ${best.toFixed(2)} ms, ${rate(body.length)} of JSON, ${rate(110_592)} of tensor\n`,
  )
}

async function measure(model: string): Promise<void> {
  const floor = await runLoop(model)
  console.log(
    `${model}: bare loop of runs, ${threads} thread(s): ${floor.rate.toFixed(0)}/s, ${floor.cpuMicros.toFixed(0)} us of processor a run`,
  )
  for (const [form, body] of [
    ['binary', binaryBody(model)],
    ['JSON', jsonBody(model)],
  ] as const) {
    console.log(`  ${form}, ${body.body.length} bytes`)
    for (const connections of connectionCounts) {
      const echo = await measureBare(['echo'], body, connections)
      const served = await measureBare(['served', model, String(threads)], body, connections)
      const own = await measureServer(model, body, connections)
      console.log(
        `    ${String(connections).padStart(2)} connections: ${own.rate.toFixed(0).padStart(6)}/s, p99 ${own.p99Ms.toFixed(2)} ms, ` +
          `${(own.rate / floor.rate).toFixed(2)} of the loop, ${(own.rate / served.rate).toFixed(2)} of the bare server that runs, ` +
          `${(own.rate / echo.rate).toFixed(2)} of the one that reads; loop held up ${own.delayMs} ms at most, ${own.heldMs} by its own work`,
      )
      console.log(
        `       us a request: server ${own.serverMicros.toFixed(0)} (bare that runs ${served.serverMicros.toFixed(0)}, that reads ` +
          `${echo.serverMicros.toFixed(0)}), wrk ${own.cpuMicros.toFixed(0)}; mean latency ${(own.meanMs * 1000).toFixed(0)}, in the run ${own.runMicros.toFixed(0)}`,
      )
    }
  }
}

interface Measured extends LoadResult {
  readonly serverMicros: number
}

async function measureServer(model: string, body: Body, connections: number) {
  const metrics = async () => await (await fetch(`${server.url}/metrics`)).text()
  const before = await metrics()
  const measured = await measureAt(server.pid, `${server.url}/v2/models/${model}/infer`, {
    body,
    connections,
  })
  const after = await metrics()
  const counted = (name: string) => counterOf(after, name, model) - counterOf(before, name, model)
  const runMicros =
    counted('nv_inference_compute_infer_duration_us') / counted('nv_inference_request_success')
  return {
    ...measured,
    runMicros,
    delayMs: longestDelayMs(before, after),
    heldMs: longestDelayMs(before, after, 'held'),
  }
}

function counterOf(metrics: string, name: string, model: string): number {
  return Number(new RegExp(`^${name}\\{model="${model}",version="1"\\} (\\d+)`, 'm').exec(metrics)?.[1])
}

async function measureBare(args: readonly string[], body: Body, connections: number): Promise<Measured> {
  const child = Bun.spawn([...pin(0), process.execPath, FLOOR, ...args], { stdout: 'pipe' })
  const { value } = await child.stdout.getReader().read()
  const url = Buffer.from(value ?? [])
    .toString()
    .trim()
  const measured = await measureAt(child.pid, url, { body, connections })
  child.kill()
  await child.exited
  return measured
}

async function measureAt(
  pid: number,
  url: string,
  how: { body: Body; connections: number },
): Promise<Measured> {
  const before = await cpuMicrosOf(pid)
  const result = await load({ url, ...how, seconds, prefix: pin(1), folder })
  return { ...result, serverMicros: ((await cpuMicrosOf(pid)) - before) / result.requests }
}

async function runLoop(model: string): Promise<{ rate: number; cpuMicros: number }> {
  const child = Bun.spawn(
    [...pin(0), process.execPath, FLOOR, 'loop', model, String(threads), String(seconds * 1000)],
    {
      stdout: 'pipe',
    },
  )
  const text = await new Response(child.stdout).text()
  return JSON.parse(text) as { rate: number; cpuMicros: number }
}
