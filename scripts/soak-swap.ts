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
const IN_FLIGHT_MAX = 512

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
let server: Running
/** What must answer whatever is sent from now on; undefined while the versions change. */
let settled: string | undefined

console.log(describeMachine())
for (const control of ['explicit', 'poll'] as const) {
  await Bun.write(join(folder, 'limpet.toml'), `[models]\ncontrol = "${control}"\npoll_seconds = 0.05\n`)
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
  if ((await server.stop()) !== 0) fault('the server did not end well')
}
await rm(folder, { recursive: true })
if (unsent > 0)
  console.log(`${unsent} requests were not sent, ${IN_FLIGHT_MAX} were in flight: the machine is not quiet`)
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
  const inFlight = new Set<Promise<void>>()
  let isDone = false
  const arrivals = (async () => {
    const began = performance.now()
    for (let sent = 0; !isDone; ) {
      const due = ((performance.now() - began) / 1000) * perSecond
      for (; sent < due; sent += 1) {
        const dueMs = began + (sent / perSecond) * 1000
        if (inFlight.size >= IN_FLIGHT_MAX) {
          unsent += 1
          continue
        }
        const one: Promise<void> = infer().then(() => {
          times.push(performance.now() - dueMs)
          inFlight.delete(one)
        })
        inFlight.add(one)
      }
      await Bun.sleep(1)
    }
  })()
  await work()
  isDone = true
  await arrivals
  await Promise.all(inFlight)
  times.sort((a, b) => a - b)
  const at = (part: number) => times[Math.floor(times.length * part)] ?? Number.NaN
  return { count: times.length, p50: at(0.5), p99: at(0.99) }
}

async function infer(): Promise<string> {
  const expected = settled
  const response = await fetch(`${server.url}/v2/models/changed/infer`, { method: 'POST', ...request })
  const bytes = Buffer.from(await response.arrayBuffer())
  const header = Number(response.headers.get('inference-header-content-length') ?? bytes.length)
  const text = bytes.toString('utf8', 0, header)
  if (response.status !== 200) fault(`${response.status} ${text}`)
  const version = /"model_version":"(\w+)"/.exec(text)?.[1] ?? ''
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
