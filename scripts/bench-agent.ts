/**
 * What a large model on its way costs the device: the agent's resident memory, from the beginning of the download to its
 * end and to the end of the update, and the p99 of a small model that is asked all the while, before the download and
 * during it. The compiled binary is registry and device, once over MQTT and once over HTTP. Reach: under 150 MB.
 *
 *   bun scripts/bench-agent.ts [--megabytes 1000] [--unpinned]
 *
 * The device has one core, the registry and whoever asks have the other; `--unpinned` leaves that to the system.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { present } from '../src/kit/assert.ts'
import { Bench } from '../test/flow/bench.ts'
import { type Device, Fleet, glanceAt } from '../test/flow/fleet.ts'
import { askScale, scaling } from '../test/flow/versions.ts'
import { BINARY, runToEnd } from '../test/kit/binary.ts'
import { golden, goldenFiles } from '../test/kit/golden.ts'
import * as zoo from '../test/kit/model-zoo.ts'
import { randomWeights } from '../test/kit/random-bytes.ts'
import { describeMachine, residentBytes } from './bench-kit.ts'

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '1000' },
    unpinned: { type: 'boolean', default: false },
  },
})
const WEIGHTS = (Number(values.megabytes) * 1e6) / 4
const WEIGHTS_AT_ONCE = 1_000_000
const MODEL = 'demo/large'
const ASK_EVERY_MS = 10
const CALM_SECONDS = 15
const END_SECONDS_MAX = 600
const LOOK_MS = 50
const ENDED = ['committed', 'rejected', 'failed', 'reverted', 'stuck']

const folder = await mkdtemp(join(tmpdir(), 'limpet-bench-'))
pin(process.pid, 1)
const fleet = await Fleet.start(folder)
let hasFailed = false
try {
  console.log(describeMachine())
  await fleet.publish(scaling(1))
  await publishLarge()
  for (const transport of ['mqtt', 'http'] as const) await measure(transport)
} finally {
  await fleet.registry.stop()
  await rm(folder, { recursive: true, force: true })
}
process.exit(hasFailed ? 1 : 0)

/** All threads that it has, and those to come. */
function pin(pid: number, core: number): void {
  if (values.unpinned) return
  const { success, stderr } = Bun.spawnSync(['taskset', '-acp', String(core), String(pid)])
  if (!success) throw new Error(`Cannot pin ${pid}: ${stderr}`)
}

/** As a publisher does it, with the binary. */
async function publishLarge(): Promise<void> {
  const model = join(folder, 'large')
  await Bun.write(join(model, '1/model.onnx'), zoo.externalTable('weights.bin', WEIGHTS))
  const file = Bun.file(join(model, '1/weights.bin')).writer()
  let first: number[] = []
  for (let at = 0; at < WEIGHTS; at += WEIGHTS_AT_ONCE) {
    const weights = randomWeights(Math.min(WEIGHTS_AT_ONCE, WEIGHTS - at), at + 1)
    if (at === 0) first = [...weights.subarray(0, 2)]
    file.write(new Uint8Array(weights.buffer))
    await file.flush()
  }
  await file.end()
  const sample = {
    inputs: [golden('INPUT0', 'INT64', [2], [0, 1])],
    outputs: [golden('OUTPUT0', 'FP32', [2], first)],
  }
  for (const [path, bytes] of Object.entries(goldenFiles([sample]))) await Bun.write(join(model, path), bytes)
  const keys = join(fleet.registry.state, 'development-keys')
  const publishers = await readdir(join(keys, 'publishers'))
  const key = present(
    publishers.find((name) => name.startsWith('demo-')),
    'the development keys have a family "demo"',
  )
  const began = performance.now()
  await run([
    ...['model', 'push', model, '--family', 'demo', '--key', join(keys, 'publishers', key)],
    ...['--registry', fleet.registry.url, '--api-key-file', join(fleet.registry.state, 'admin.key')],
    ...['--root', join(keys, 'root.json'), '--memory-mb', 'default:1'],
  ])
  console.log(`published ${values.megabytes} MB in ${seconds(performance.now() - began)} s`)
  await rm(model, { recursive: true })
}

async function run(args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await runToEnd(folder, { command: [BINARY, ...args] })
  if (exitCode !== 0) throw new Error(`limpet ${args[0]}: ${stderr}`)
}

async function measure(transport: 'mqtt' | 'http'): Promise<void> {
  const device = await fleet.enrol(transport)
  await fleet.assign(transport, [{ model: 'vision/scale', version: '1' }])
  await Bun.write(join(device.home, 'config.toml'), `[registry]\ntransports = ["${transport}"]\n`)
  const bench = new Bench(device)
  await bench.startServe()
  bench.startAgent({ LIMPET_CONFIG: join(device.home, 'config.toml') })
  pin(bench.servePid, 0)
  pin(bench.agentPid, 0)
  try {
    await fleet.ended(device, 'vision/scale', { version: '1', state: 'committed' })
    const client = new Client(bench.url)
    await Bun.sleep(CALM_SECONDS * 1000)
    const calm = client.take()
    const idleBytes = await residentBytes(bench.agentPid)
    await fleet.assign(transport, [
      { model: 'vision/scale', version: '1' },
      { model: MODEL, version: '1' },
    ])
    const states = await followUpdate(device, { pid: bench.agentPid, client })
    await client.stop()
    report(transport, { calm, idleBytes, states })
  } catch (error) {
    throw new Error(`${error}\n${await bench.log()}`, { cause: error })
  } finally {
    await bench.stop()
    await rm(device.home, { recursive: true, force: true })
  }
}

/** What was seen in one state of the update. */
interface Seen {
  readonly state: string
  ms: number
  residentBytes: number
  latencies: number[]
}

async function followUpdate(
  device: Device,
  { pid, client }: { pid: number; client: Client },
): Promise<Seen[]> {
  const seen: Seen[] = []
  const began = performance.now()
  let since = began
  while (performance.now() - began < END_SECONDS_MAX * 1000) {
    const status = await glanceAt(device)
    const state = status?.models.find(({ model }) => model === MODEL)?.update?.state ?? 'assigned'
    const bytes = await residentBytes(pid)
    const now = performance.now()
    if (seen.at(-1)?.state !== state) seen.push({ state, ms: 0, residentBytes: 0, latencies: [] })
    const last = present(seen.at(-1), 'there is a state')
    last.ms += now - since
    last.residentBytes = Math.max(last.residentBytes, bytes)
    last.latencies.push(...client.take())
    since = now
    if (state === 'committed') return seen
    if (ENDED.includes(state)) throw new Error(`The update is ${state}: ${JSON.stringify(status?.models)}`)
    await Bun.sleep(LOOK_MS)
  }
  throw new Error(`The update has not ended after ${END_SECONDS_MAX} s`)
}

/** Asks at a steady pace, whether or not the last one was answered. */
class Client {
  #latencies: number[] = []
  readonly #timer: ReturnType<typeof setInterval>
  readonly #underway = new Set<Promise<void>>()

  constructor(url: string) {
    this.#timer = setInterval(() => {
      const asked = this.#ask(url).finally(() => this.#underway.delete(asked))
      this.#underway.add(asked)
    }, ASK_EVERY_MS)
  }

  /** Since it was last asked for, in milliseconds. */
  take(): number[] {
    return this.#latencies.splice(0)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#underway)
  }

  async #ask(url: string): Promise<void> {
    const began = performance.now()
    const answer = await askScale(url)
    if (answer !== '1 times 1') throw new Error(`The small model answers ${answer}`)
    this.#latencies.push(performance.now() - began)
  }
}

function report(
  transport: string,
  { calm, idleBytes, states }: { calm: readonly number[]; idleBytes: number; states: readonly Seen[] },
): void {
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`
  console.log(`${transport}: before: agent ${megabytes(idleBytes)}, ${describe(calm)}`)
  for (const { state, ms, residentBytes: bytes, latencies } of states) {
    console.log(`  ${state}: ${seconds(ms)} s, agent ${megabytes(bytes)}, ${describe(latencies)}`)
  }
  const most = Math.max(...states.map((each) => each.residentBytes))
  const download = present(
    states.find(({ state }) => state === 'download'),
    'it was seen to come down',
  )
  const rate = Number(values.megabytes) / (download.ms / 1000)
  const ratio = quantile(download.latencies, 0.99) / quantile(calm, 0.99)
  console.log(
    `  ${rate.toFixed(0)} MB/s; agent at most ${megabytes(most)}, aim 150; p99 ${ratio.toFixed(2)} times that before`,
  )
  if (most >= 150e6) hasFailed = true
}

function describe(latencies: readonly number[]): string {
  const ms = (share: number) => quantile(latencies, share).toFixed(1)
  return `${latencies.length} answers, p50 ${ms(0.5)} ms, p99 ${ms(0.99)} ms`
}

function quantile(latencies: readonly number[], share: number): number {
  const sorted = [...latencies].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1)
}
