/**
 * The compiled binary at five times what it can do: requests come at a fixed pace, whether or not those before have been
 * answered. Shown beside the capacity that was measured just before: good answers a second during the overload, how
 * long refusals and accepted requests took, and what is left afterwards of it in memory and latency. Exits 1 where goodput
 * is below 90 % of the capacity, an accepted request took longer than the deadline at p99, or something stayed behind.
 *
 *   bun scripts/bench-overload.ts [--seconds 6] [--times 5] [--body-kilobytes 0]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Line } from '../test/fuzz/exchange.ts'
import { BINARY, startServing, writeModel } from '../test/kit/binary.ts'
import { slow } from '../test/kit/model-zoo.ts'
import { describeMachine, residentBytes } from './bench-kit.ts'

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '6' },
    times: { type: 'string', default: '5' },
    'body-kilobytes': { type: 'string', default: '0' },
  },
})
const seconds = Number(options.seconds)
/** About so many ms a run. */
const RUN_MS = 24
const QUEUE_ITEMS_MAX = 32
/** What an operator who sets this queue wants to hold: all of it, and the runs before, with room for a busy machine. */
const DEADLINE_MS = 4 * RUN_MS * QUEUE_ITEMS_MAX
const GOODPUT_MIN = 0.9
const CLIENTS_MAX = 512
const SILENT_MS = 30_000

const folder = await mkdtemp(join(tmpdir(), 'limpet-overload-'))
await writeModel(join(folder, 'models'), 'slow', { onnx: slow() })
await Bun.write(join(folder, 'limpet.toml'), `[inference]\nqueue_items_max = ${QUEUE_ITEMS_MAX}\n`)
const args = [
  'serve',
  '--models',
  join(folder, 'models'),
  '--port',
  '0',
  '--config',
  join(folder, 'limpet.toml'),
]
const server = await startServing(folder, { command: [BINARY, ...args] })
const { hostname, port } = new URL(server.url)
const padding = 'x'.repeat(1024 * Number(options['body-kilobytes']))
const json = `{"inputs":[{"name":"INPUT0","datatype":"INT64","shape":[1],"data":[${RUN_MS}]}],"parameters":{"padding":"${padding}"}}`
const request = Buffer.from(
  `POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: ${json.length}\r\n\r\n${json}`,
)
const spare: Line[] = []
let wrong = 0

interface Tally {
  readonly accepted: number[]
  readonly refused: number[]
  unsent: number
}

const newTally = (): Tally => ({ accepted: [], refused: [], unsent: 0 })

async function ask(tally: Tally): Promise<void> {
  const line = spare.pop() ?? new Line({ host: hostname, port: Number(port) }, SILENT_MS)
  const began = performance.now()
  const outcome = await line.exchange(request, { isWhole: true, isHead: false })
  const tookMs = performance.now() - began
  spare.push(line)
  if (typeof outcome === 'object' && outcome.status === 200) tally.accepted.push(tookMs)
  else if (typeof outcome === 'object' && outcome.status === 429 && outcome.headers.has('retry-after'))
    tally.refused.push(tookMs)
  else fault(`answered ${typeof outcome === 'string' ? outcome : `${outcome.status} ${outcome.body}`}`)
}

function fault(what: string): void {
  wrong += 1
  if (wrong <= 5) console.log(`  WRONG: ${what}`)
}

/** As many clients as keep every thread busy, each asking again at once: what the server can do. */
async function measureCapacity(): Promise<number> {
  const tally = newTally()
  const end = performance.now() + seconds * 1000
  const client = async () => {
    while (performance.now() < end) await ask(tally)
  }
  await Promise.all(Array.from({ length: 8 }, client))
  return tally.accepted.length / seconds
}

/** One request every so often, by the clock: a late timer sends what is due. */
async function overload(rate: number): Promise<Tally> {
  const tally = newTally()
  const began = performance.now()
  const asked: Promise<void>[] = []
  let inFlight = 0
  for (let sent = 0; sent < rate * seconds; ) {
    const due = Math.min(rate * seconds, ((performance.now() - began) / 1000) * rate)
    for (; sent < due; sent += 1) {
      if (inFlight >= CLIENTS_MAX) {
        tally.unsent += 1
        continue
      }
      inFlight += 1
      asked.push(ask(tally).finally(() => (inFlight -= 1)))
    }
    await Bun.sleep(1)
  }
  await Promise.all(asked)
  return tally
}

async function measureQuiet(): Promise<number> {
  const tally = newTally()
  for (let times = 0; times < 40; times += 1) await ask(tally)
  return quantile(tally.accepted, 0.5)
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

const ms = (value: number) => `${value.toFixed(1)} ms`
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`

console.log(
  `${describeMachine()}; runs of ${RUN_MS} matrix products, bodies of ${json.length} bytes, ${seconds} s each`,
)
await overload(200)
const memoryBefore = await residentBytes(server.pid)
const quietBefore = await measureQuiet()
const before = await measureCapacity()
const { accepted, refused, unsent } = await overload(before * Number(options.times))
const after = await measureCapacity()
const goodput = accepted.length / seconds
// The machine is not the same from one second to the next: both sides of the overload count.
const capacity = (before + after) / 2
console.log(`capacity ${before.toFixed(1)}/s before, ${after.toFixed(1)}/s after`)
console.log(
  `at ${options.times} times that: ${goodput.toFixed(1)}/s good (${(goodput / capacity).toFixed(2)} of the capacity), ` +
    `${(refused.length / seconds).toFixed(0)}/s refused, ${unsent} not sent for want of a client`,
)
console.log(
  `refused after ${ms(quantile(refused, 0.5))} (p99 ${ms(quantile(refused, 0.99))}); accepted answered after ` +
    `${ms(quantile(accepted, 0.5))} (p99 ${ms(quantile(accepted, 0.99))}), deadline ${DEADLINE_MS} ms`,
)
const quietAfter = await measureQuiet()
const memoryAfter = await residentBytes(server.pid)
const metrics = await (await fetch(`${server.url}/metrics`)).text()
console.log(
  `before and after: ${megabytes(memoryBefore)}, ${megabytes(memoryAfter)}; quiet latency ${ms(quietBefore)}, ${ms(quietAfter)}`,
)
if (goodput < GOODPUT_MIN * capacity) fault(`goodput is below ${GOODPUT_MIN} of the capacity`)
if (quantile(accepted, 0.99) > DEADLINE_MS) fault('accepted requests took longer than the deadline')
if (refused.length === 0) fault('nothing was refused: this was no overload')
if (memoryAfter > 1.1 * memoryBefore + 10e6) fault('memory stayed taken')
if (!/^limpet_requests_in_flight 0$/m.test(metrics)) fault('requests are still inside')
for (const line of spare) line.drop()
if ((await server.stop()) !== 0) fault('the server did not end well')
await rm(folder, { recursive: true })
console.log(wrong === 0 ? 'nothing was wrong' : `${wrong} things were wrong`)
process.exit(wrong === 0 ? 0 : 1)
