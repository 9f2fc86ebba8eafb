/**
 * Long and bounded: a million runs from two threads with sessions loaded and unloaded between, ten thousand failing
 * calls of each kind, half a million HTTP requests against the compiled binary. Every answer is checked; resident
 * memory has to end within 5 % of where it stood after the first tenth. Exits 1 when anything was wrong.
 *
 *   bun scripts/soak-runtime.ts [--scale 0.01]
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EMBEDDED } from '../src/app/embedded.ts'
import { setLogLevel } from '../src/kit/log.ts'
import type { Session } from '../src/runtime/backend.ts'
import { OrtBackend } from '../src/runtime/ort-backend.ts'
import { BINARY, startServing } from '../test/kit/binary.ts'
import { failsOnIndex, simple, slow, stringIdentity } from '../test/kit/model-zoo.ts'
import { SESSION_OPTIONS } from '../test/kit/session-options.ts'
import { describeMachine, residentBytes } from './bench-kit.ts'

const scale = Number(process.argv[process.argv.indexOf('--scale') + 1] ?? 1) || 1
const RUNS = 1_000_000 * scale
const FAILURES = 10_000 * scale
const REQUESTS = 500_000 * scale
const RUNS_PER_SESSION = 5_000
const GROWTH_MAX = 0.05

setLogLevel('error')
const OPTIONS = { ...SESSION_OPTIONS, id: 'soak/1' }

let wrong = 0
const fault = (what: string) => {
  wrong += 1
  if (wrong <= 10) console.log(`  WRONG: ${what}`)
}

console.log(describeMachine())
const backend = new OrtBackend({ libraryPath: EMBEDDED.onnxruntime.path, threads: 2 })
await phase(
  'runs on two threads, sessions loaded and unloaded between',
  RUNS,
  RUNS_PER_SESSION,
  'self',
  soakRuns,
)
await phase('models that cannot be loaded', FAILURES, 100, 'self', failToLoad)
await phase('runs that a kernel refuses', FAILURES, 100, 'self', await failInKernel())
await phase('strings that are cut short', FAILURES, 100, 'self', await failInStrings())
await phase('runs that are cancelled', FAILURES, 100, 'self', await cancelRuns())
await soakHttp()
console.log(wrong === 0 ? 'nothing was wrong' : `${wrong} things were wrong`)
process.exit(wrong === 0 ? 0 : 1)

/** Does `batch` items at a time until `total` are done; memory is read after the first tenth and at the end. */
async function phase(
  name: string,
  total: number,
  batch: number,
  pid: number | 'self',
  work: (items: number, from: number) => Promise<void>,
): Promise<void> {
  const began = performance.now()
  let tenth = 0
  let done = 0
  while (done < total) {
    const items = Math.min(batch, total - done)
    await work(items, done)
    done += items
    if (tenth === 0 && done >= total / 10) tenth = await settledBytes(pid)
  }
  const end = await settledBytes(pid)
  const growth = end / tenth - 1
  const seconds = (performance.now() - began) / 1000
  console.log(
    `${name}: ${done} in ${seconds.toFixed(1)} s; memory after a tenth ${(tenth / 1e6).toFixed(1)} MB, at the end ` +
      `${(end / 1e6).toFixed(1)} MB (${(growth * 100).toFixed(1)} %)`,
  )
  if (growth > GROWTH_MAX) fault(`${name}: memory grew by ${(growth * 100).toFixed(1)} %`)
}

/** What is garbage should not count as a leak; another process is read as it is. */
async function settledBytes(pid: number | 'self'): Promise<number> {
  if (pid === 'self') Bun.gc(true)
  await Bun.sleep(200)
  return await residentBytes(pid)
}

async function soakRuns(runs: number, from: number): Promise<void> {
  const session = await backend.load({ bytes: simple() }, OPTIONS)
  let next = from
  const worker = async () => {
    while (next < from + runs) {
      const value = next
      next += 1
      await checkSum(session, value)
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  await session.close()
}

async function checkSum(session: Session, value: number): Promise<void> {
  const bytes = (fill: number) => new Uint8Array(new Int32Array(16).fill(fill).buffer)
  const input = (name: string, fill: number) => ({
    name,
    datatype: 'INT32' as const,
    shape: [1, 16],
    bytes: bytes(fill),
  })
  const inputs = [input('INPUT0', value), input('INPUT1', 7)]
  const result = await session.run({ inputs, outputs: ['OUTPUT0', 'OUTPUT1'] })
  const [sum, difference] = result.outputs.map((output) => new Int32Array(output.bytes.slice().buffer))
  result.release()
  const isRight = sum?.every((each) => each === value + 7) && difference?.every((each) => each === value - 7)
  if (!isRight) fault(`${value} + 7 gave ${sum?.join()} and ${difference?.join()}`)
}

async function expectFailure(what: string, call: Promise<unknown>, code: string): Promise<void> {
  const error: unknown = await call.then(
    () => undefined,
    (reason) => reason,
  )
  if ((error as { code?: string } | undefined)?.code !== code)
    fault(`${what}: ${String(error)}, expected ${code}`)
}

async function failToLoad(items: number): Promise<void> {
  const cut = simple().slice(0, 50)
  for (let index = 0; index < items; index += 1) {
    await expectFailure('load', backend.load({ bytes: cut }, OPTIONS), 'model_invalid')
  }
}

async function failInKernel() {
  const session = await backend.load({ bytes: failsOnIndex() }, OPTIONS)
  const { inputs, outputs } = session.signature
  const request = {
    inputs: inputs.map(({ name, datatype }) => ({
      name,
      datatype,
      shape: [1],
      bytes: new Uint8Array([255, 255, 255, 0, 0, 0, 0, 0]),
    })),
    outputs: outputs.map(({ name }) => name),
  }
  return async (items: number) => {
    for (let index = 0; index < items; index += 1)
      await expectFailure('kernel', session.run(request), 'input_invalid')
  }
}

async function failInStrings() {
  const session = await backend.load({ bytes: stringIdentity() }, OPTIONS)
  const bytes = Uint8Array.from([3, 0, 0, 0, 65, 66, 67, 200, 0, 0, 0, 65])
  const inputs = [{ name: 'INPUT0', datatype: 'BYTES' as const, shape: [2], bytes }]
  return async (items: number) => {
    for (let index = 0; index < items; index += 1) {
      await expectFailure('strings', session.run({ inputs, outputs: ['OUTPUT0'] }), 'input_invalid')
    }
  }
}

async function cancelRuns() {
  const session = await backend.load({ bytes: slow() }, OPTIONS)
  const bytes = new Uint8Array(BigInt64Array.of(1_000_000n).buffer)
  const inputs = [{ name: 'INPUT0', datatype: 'INT64' as const, shape: [1], bytes }]
  return async (items: number) => {
    for (let index = 0; index < items; index += 1) {
      const abort = new AbortController()
      const run = session.run({ inputs, outputs: ['OUTPUT0'], signal: abort.signal })
      setImmediate(() => abort.abort())
      await expectFailure('cancel', run, 'cancelled')
    }
  }
}

/** As many requests at once as keep the server busy; JSON and binary answers in turn. */
async function soakHttp(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'limpet-soak-'))
  await mkdir(join(folder, 'models/simple/1'), { recursive: true })
  await Bun.write(join(folder, 'models/simple/1/model.onnx'), simple())
  const server = await startServing(folder, {
    command: [BINARY, 'serve', '--models', 'models', '--port', '0'],
  })
  await phase('HTTP requests to the compiled binary', REQUESTS, 20_000, server.pid, async (items, from) => {
    let next = from
    const client = async () => {
      while (next < from + items) {
        const value = next
        next += 1
        await checkRequest(server.url, value)
      }
    }
    await Promise.all(Array.from({ length: 48 }, client))
  })
  if ((await server.stop()) !== 0) fault('the server did not end well')
  await rm(folder, { recursive: true })
}

async function checkRequest(url: string, value: number): Promise<void> {
  const input = (name: string, fill: number) => ({
    name,
    datatype: 'INT32',
    shape: [1, 16],
    data: new Array(16).fill(fill),
  })
  const isBinary = value % 2 === 0
  const body = JSON.stringify({
    id: String(value),
    inputs: [input('INPUT0', value), input('INPUT1', 7)],
    outputs: [{ name: 'OUTPUT0', parameters: { binary_data: isBinary } }],
  })
  const response = await fetch(`${url}/v2/models/simple/infer`, { method: 'POST', body })
  const bytes = Buffer.from(await response.arrayBuffer())
  const headerLength = Number(response.headers.get('inference-header-content-length') ?? bytes.length)
  const answer = JSON.parse(bytes.toString('utf8', 0, headerLength)) as {
    id?: string
    outputs?: { data?: number[] }[]
  }
  const sum = isBinary
    ? [...new Int32Array(Uint8Array.from(bytes.subarray(headerLength)).buffer)]
    : (answer.outputs?.[0]?.data ?? [])
  const isRight = response.status === 200 && answer.id === String(value) && sum.length === 16
  if (!isRight || !sum.every((each) => each === value + 7))
    fault(`request ${value}: ${response.status} ${bytes.toString()}`)
}
