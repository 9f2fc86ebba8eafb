/**
 * Requests a second through the compiled binary, each figure beside two floors measured in the same run: a bare loop of
 * runs on as many threads as the server has, and a bare Bun.serve that reads the same body. The load is wrk (Debian
 * package), which is left unpinned with `--unpinned`; otherwise the server has core 0 and wrk core 1.
 *
 *   bun scripts/bench-serve.ts [--unpinned] [--seconds 3]
 */
import '../test/kit/no-telemetry.ts'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EMBEDDED } from '../src/app/embedded.ts'
import { OrtBackend } from '../src/runtime/ort-backend.ts'
import { BINARY, MODELS, startServing } from '../test/kit/binary.ts'
import { SESSION_OPTIONS } from '../test/kit/session-options.ts'
import { encodeBinary, tensorOf, type V2Tensor } from '../test/kit/v2.ts'
import { describeMachine } from './bench-kit.ts'

const isPinned = !process.argv.includes('--unpinned')
const seconds = process.argv.includes('--seconds')
  ? Number(process.argv[process.argv.indexOf('--seconds') + 1])
  : 3
const CONCURRENCY = [1, 8, 32, 64]
const THREADS = isPinned ? 1 : 2

interface Case {
  readonly model: string
  readonly inputs: readonly V2Tensor[]
}

const floats = (shape: number[]) => ({
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.25),
})
const row = { shape: [1, 16], data: Int32Array.from({ length: 16 }, (_, index) => index) }
const CASES: Case[] = [
  { model: 'simple', inputs: ['INPUT0', 'INPUT1'].map((name) => tensorOf(name, 'INT32', row)) },
  { model: 'text-orientation', inputs: [tensorOf('x', 'FP32', floats([1, 3, 48, 192]))] },
  { model: 'text-detector', inputs: [tensorOf('x', 'FP32', floats([1, 3, 320, 320]))] },
]

const folder = await mkdtemp(join(tmpdir(), 'limpet-bench-'))
console.log(
  `${describeMachine()}; ${isPinned ? 'server on core 0, wrk on core 1' : 'nothing pinned'}; ${seconds} s each\n`,
)
const pin = (core: number) => (isPinned ? ['taskset', '-c', String(core)] : [])
const server = await startServing(folder, {
  command: [...pin(0), BINARY, 'serve', '--models', MODELS, '--port', '0'],
})
try {
  for (const each of CASES) await measure(each)
} finally {
  await server.stop()
  await rm(folder, { recursive: true })
}
process.exit(0)

async function measure(each: Case): Promise<void> {
  const floor = await runBare(each)
  console.log(`${each.model}: bare loop of runs, ${THREADS} thread(s): ${floor.toFixed(0)}/s`)
  for (const form of ['binary', 'JSON'] as const) {
    const request = form === 'binary' ? binaryRequest(each) : jsonRequest(each)
    const echo = await measureEcho(request)
    console.log(
      `  ${form}, ${request.body.length} bytes; bare Bun.serve reading it: ${echo.toFixed(0)}/s at 32`,
    )
    for (const connections of CONCURRENCY) {
      const { rate, p99 } = await load(`${server.url}/v2/models/${each.model}/infer`, request, connections)
      const ratio = `${(rate / floor).toFixed(2)} of the runs, ${(rate / echo).toFixed(2)} of the reading`
      console.log(
        `    ${String(connections).padStart(2)} connections: ${rate.toFixed(0).padStart(6)}/s, p99 ${p99}, ${ratio}`,
      )
    }
  }
}

interface Body {
  readonly body: Buffer
  readonly headers: Readonly<Record<string, string>>
}

function binaryRequest({ inputs }: Case): Body {
  const { body, headers } = encodeBinary(inputs)
  return { body: Buffer.from(body), headers }
}

function jsonRequest({ inputs }: Case): Body {
  const json = inputs.map(({ name, datatype, shape, bytes }) => {
    const numbers =
      datatype === 'INT32' ? new Int32Array(bytes.slice().buffer) : new Float32Array(bytes.slice().buffer)
    return { name, datatype, shape, data: [...numbers] }
  })
  return { body: Buffer.from(JSON.stringify({ inputs: json })), headers: {} }
}

/** wrk gets the body as a Lua string of escaped bytes. */
async function load(
  url: string,
  { body, headers }: Body,
  connections: number,
): Promise<{ rate: number; p99: string }> {
  const script = join(folder, 'request.lua')
  const bytes = [...body].map((byte) => `\\${String(byte).padStart(3, '0')}`).join('')
  const lines = Object.entries(headers).map(([name, value]) => `wrk.headers["${name}"] = "${value}"`)
  await Bun.write(script, `wrk.method = "POST"\nwrk.body = "${bytes}"\n${lines.join('\n')}\n`)
  const wrk = Bun.spawnSync([
    ...pin(1),
    'wrk',
    '-t1',
    `-c${connections}`,
    `-d${seconds}`,
    '--latency',
    '-s',
    script,
    url,
  ])
  const text = wrk.stdout.toString()
  if (/Non-2xx/.test(text)) throw new Error(`Requests to ${url} failed: ${text}`)
  return {
    rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1] ?? Number.NaN),
    p99: /99%\s+(\S+)/.exec(text)?.[1] ?? '?',
  }
}

/** What the same Bun does with the same body when it only reads it. */
async function measureEcho(request: Body): Promise<number> {
  const code =
    'const s=Bun.serve({hostname:"127.0.0.1",port:0,fetch:async(r)=>{await r.arrayBuffer();return new Response("ok")}});console.log(s.url.href)'
  const child = Bun.spawn([...pin(0), process.execPath, '-e', code], { stdout: 'pipe' })
  const { value } = await child.stdout.getReader().read()
  const { rate } = await load(
    Buffer.from(value ?? [])
      .toString()
      .trim(),
    request,
    32,
  )
  child.kill()
  await child.exited
  return rate
}

/** Runs and nothing else, on the threads of this process; pinned, in one. */
async function runBare({ model, inputs }: Case): Promise<number> {
  const backend = new OrtBackend({ libraryPath: EMBEDDED.onnxruntime.path, threads: THREADS })
  const session = await backend.load(
    { path: join(MODELS, model, '1/model.onnx') },
    { ...SESSION_OPTIONS, id: model },
  )
  const request = { inputs: inputs as never, outputs: session.signature.outputs.map(({ name }) => name) }
  const end = performance.now() + seconds * 1000
  let runs = 0
  const worker = async () => {
    while (performance.now() < end) {
      if (THREADS === 1) session.runInline(request).release()
      else (await session.run(request)).release()
      runs += 1
    }
  }
  await Promise.all(Array.from({ length: THREADS * 2 }, worker))
  await session.close()
  await backend.stop()
  return runs / seconds
}
