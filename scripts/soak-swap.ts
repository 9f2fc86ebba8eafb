/**
 * The compiled binary while a model changes its version, at 80 % of what it can answer: measures its capacity, then lets
 * requests come at a steady rate, whatever becomes of those before them, while the model goes from version 1 to 2 and back,
 * a hundred times by the repository API and a hundred times by polling. Counts what failed and what a version answered
 * that was not the latest any more when the request was sent; prints the slowest 1 % during the changes beside those
 * before. Exits 1 when anything was wrong.
 *
 *   bun scripts/soak-swap.ts [--scale 0.1] [--share 0.8] [--swap drain]
 */
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Line } from '../test/fuzz/exchange.ts'
import { BINARY, MODELS, type Running, startServing } from '../test/kit/binary.ts'
import { encodeBinary, tensorOf } from '../test/kit/v2.ts'
import { describeMachine } from './bench-kit.ts'

function option(name: string, otherwise: string): string {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : (process.argv[at + 1] ?? otherwise)
}
const scale = Number(option('scale', '1'))
const share = Number(option('share', '0.8'))
const swap = option('swap', 'auto')
const CHANGES = Math.ceil(100 * scale)
const QUIET_MS = 5000 * Math.max(scale, 0.3)
/** Between two changes, as a person or a rollout would leave some time. */
const PAUSE_MS = 100
const CLIENTS = 8
/** Requests on their way; those that are due meanwhile wait, and their time runs. */
const CONNECTIONS = 16
const WAITING_MAX = 10_000
const SILENT_MS = 30_000

const folder = await mkdtemp(join(tmpdir(), 'limpet-swap-'))
const [models, aside] = [join(folder, 'models'), join(folder, 'aside')]
await mkdir(aside)
await cp(join(MODELS, 'text-orientation'), join(models, 'changed'), { recursive: true })
const toml = Bun.file(join(models, 'changed/config.toml'))
await Bun.write(toml, `swap = "${swap}"\n${await toml.text()}`)
await cp(join(MODELS, 'text-orientation/1'), join(aside, '2'), { recursive: true })

let wrong = 0
/** Requests that were due while too many were in flight: the machine is busy with something else. */
let unsent = 0
function fault(what: string): void {
  wrong += 1
  if (wrong <= 10) console.log(`  WRONG: ${what}`)
}

const request = encodeBinary([
  tensorOf('x', 'FP32', { shape: [1, 3, 48, 192], data: new Float32Array(3 * 48 * 192).fill(0.3) }),
])
const head = Object.entries({ ...request.headers, Host: 'x', 'Content-Length': request.body.length })
/** As it goes over the wire: a client that costs little leaves the processor to the server. */
const bytes = Buffer.concat([
  Buffer.from(
    `POST /v2/models/changed/infer HTTP/1.1\r\n${head.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
  ),
  request.body,
])
const spare: Line[] = []
let server: Running
/** What must answer whatever is sent from now on; undefined while the versions change. */
let settled: string | undefined

console.log(describeMachine())
for (const control of ['explicit', 'poll'] as const) {
  await Bun.write(join(folder, 'limpet.toml'), `[models]\ncontrol = "${control}"\npoll_seconds = 0.2\n`)
  const command = [
    BINARY,
    'serve',
    '--models',
    models,
    '--config',
    join(folder, 'limpet.toml'),
    '--port',
    '0',
  ]
  server = await startServing(folder, { command })
  settled = '1'
  await soak(control)
  for (const line of spare.splice(0)) line.drop()
  if ((await server.stop()) !== 0) fault('the server did not end well')
}
await rm(folder, { recursive: true })
if (unsent > 0)
  console.log(`${unsent} requests were not sent, ${WAITING_MAX} were due: the machine is not quiet`)
console.log(wrong === 0 ? 'nothing was wrong' : `${wrong} things were wrong`)
process.exit(wrong === 0 ? 0 : 1)

async function soak(control: 'explicit' | 'poll'): Promise<void> {
  const capacity = await measureCapacity()
  const perSecond = capacity * share
  const before = await arrive(perSecond, () => Bun.sleep(QUIET_MS))
  const during = await arrive(perSecond, async () => {
    for (let change = 0; change < CHANGES; change += 1) {
      for (const [version, from, to] of [
        ['2', join(aside, '2'), join(models, 'changed/2')],
        ['1', join(models, 'changed/2'), join(aside, '2')],
      ] as const) {
        settled = undefined
        await rename(from, to)
        await (control === 'explicit' ? load() : until(version))
        settled = version
        await Bun.sleep(PAUSE_MS)
      }
    }
  })
  const after = await arrive(perSecond, () => Bun.sleep(QUIET_MS))
  const line = ({ count, p50, p99 }: Arrived) =>
    `${count} answers, p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)} ms`
  console.log(
    `${control}: capacity ${capacity.toFixed(0)}/s, asked at ${perSecond.toFixed(0)}/s, swap ${swap}`,
  )
  console.log(`  before: ${line(before)}; after: ${line(after)}`)
  console.log(
    `  during ${CHANGES} changes forth and back: ${line(during)}, ${(during.p99 / before.p99).toFixed(2)} times`,
  )
}

/** Answers a second with so many clients that each ask without a pause. */
async function measureCapacity(): Promise<number> {
  let [count, isDone] = [0, false]
  const client = async () => {
    while (!isDone) {
      await infer()
      count += 1
    }
  }
  const clients = Array.from({ length: CLIENTS }, client)
  await Bun.sleep(500)
  count = 0
  const began = performance.now()
  await Bun.sleep(3000 * Math.max(scale, 0.5))
  const capacity = (count / (performance.now() - began)) * 1000
  isDone = true
  await Promise.all(clients)
  return capacity
}

interface Arrived {
  readonly count: number
  readonly p50: number
  readonly p99: number
}

/** Requests at a steady rate while something is done; a time begins when its request was due. */
async function arrive(perSecond: number, work: () => Promise<void>): Promise<Arrived> {
  const times: number[] = []
  const due: number[] = []
  const asking = new Set<Promise<void>>()
  let isDone = false
  const ask = async () => {
    for (let dueMs = due.shift(); dueMs !== undefined; dueMs = due.shift()) {
      await infer()
      times.push(performance.now() - dueMs)
    }
  }
  const arrivals = (async () => {
    const began = performance.now()
    for (let sent = 0; !isDone; ) {
      const now = performance.now()
      for (; sent < ((now - began) / 1000) * perSecond; sent += 1) {
        if (due.length < WAITING_MAX) due.push(began + (sent / perSecond) * 1000)
        else unsent += 1
      }
      while (due.length > 0 && asking.size < CONNECTIONS) {
        const one: Promise<void> = ask().finally(() => asking.delete(one))
        asking.add(one)
      }
      await Bun.sleep(1)
    }
  })()
  await work()
  isDone = true
  await arrivals
  await Promise.all(asking)
  times.sort((a, b) => a - b)
  const at = (part: number) => times[Math.floor(times.length * part)] ?? Number.NaN
  return { count: times.length, p50: at(0.5), p99: at(0.99) }
}

async function infer(): Promise<string> {
  const expected = settled
  const line =
    spare.pop() ?? new Line({ host: '127.0.0.1', port: Number(new URL(server.url).port) }, SILENT_MS)
  const answer = await line.exchange(bytes, { isWhole: true, isHead: false })
  spare.push(line)
  if (typeof answer === 'string' || answer.status !== 200) {
    fault(typeof answer === 'string' ? answer : `${answer.status} ${answer.body.toString()}`)
    return ''
  }
  const header = Number(answer.headers.get('inference-header-content-length') ?? answer.body.length)
  const version = /"model_version":"(\w+)"/.exec(answer.body.toString('utf8', 0, header))?.[1] ?? ''
  // What was sent while one was settled may meet the next one, but what is settled must not be missed.
  if (expected !== undefined && settled === expected && version !== expected) {
    fault(`version ${version} answered after ${expected} was ready`)
  }
  return version
}

async function load(): Promise<void> {
  const response = await fetch(`${server.url}/v2/repository/models/changed/load`, { method: 'POST' })
  const text = await response.text()
  if (response.status !== 200) fault(`load: ${response.status} ${text}`)
}

async function until(version: string): Promise<void> {
  while ((await infer()) !== version) await Bun.sleep(5)
}
