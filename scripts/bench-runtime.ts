/**
 * Time of one run through src/runtime and through onnxruntime-node, in turns in one process, so that what else the
 * machine does meets both alike. Prints µs a run and the ratio of the two; then runs a second of one and of two threads
 * on one session. Reach: never slower than onnxruntime-node, under half its time on the trivial model, 1.7 times the
 * runs with two threads.
 */
import '../test/kit/no-telemetry.ts'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { EMBEDDED } from '../src/app/embedded.ts'
import type { Session } from '../src/runtime/backend.ts'
import { OrtBackend } from '../src/runtime/ort-backend.ts'
import { simple } from '../test/kit/model-zoo.ts'
import { SESSION_OPTIONS } from '../test/kit/session-options.ts'
import { describeMachine, median } from './bench-kit.ts'

const ROUNDS = 9

interface Case {
  readonly name: string
  readonly model: Uint8Array
  readonly inputs: readonly { name: string; datatype: 'FP32' | 'INT32'; shape: number[] }[]
  readonly runsInRound: number
}

const modelFile = (name: string) => Bun.file(join(import.meta.dir, `../models/${name}/1/model.onnx`)).bytes()

const CASES: Case[] = [
  {
    name: 'trivial (simple)',
    model: simple(),
    inputs: ['INPUT0', 'INPUT1'].map((name) => ({ name, datatype: 'INT32', shape: [1, 16] })),
    runsInRound: 30_000,
  },
  {
    name: 'text-orientation 1x3x48x192',
    model: await modelFile('text-orientation'),
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 3, 48, 192] }],
    runsInRound: 400,
  },
]

const backends = new Map(
  [1, 2].map((threads) => [threads, new OrtBackend({ libraryPath: EMBEDDED.onnxruntime.path, threads })]),
)
const load = (threads: number, { name, model }: Case): Promise<Session> => {
  const backend = backends.get(threads)
  if (backend === undefined) throw new Error(`No backend with ${threads} threads`)
  return backend.load({ bytes: model }, { ...SESSION_OPTIONS, id: name })
}

console.log(`${describeMachine()}\nmedian of ${ROUNDS} rounds in turns\n`)
for (const each of CASES) await compare(each)
for (const each of CASES) await compareThreads(each)
process.exit(0)

async function compare(each: Case): Promise<void> {
  const ours = await load(1, each)
  const theirs = await InferenceSession.create(each.model, { intraOpNumThreads: 1, interOpNumThreads: 1 })
  const request = requestOf(ours, each)
  const feeds = feedsOf(each)
  const times: { ours: number[]; theirs: number[] } = { ours: [], theirs: [] }
  for (let round = 0; round <= ROUNDS; round += 1) {
    const ourMicros = await time(each.runsInRound, () => ours.runInline(request).release())
    const theirMicros = await time(each.runsInRound, () => theirs.run(feeds))
    // The first round warms both up.
    if (round === 0) continue
    times.ours.push(ourMicros)
    times.theirs.push(theirMicros)
  }
  const [a, b] = [median(times.ours), median(times.theirs)]
  console.log(
    `${each.name.padEnd(30)} src/runtime ${a.toFixed(2)} us, onnxruntime-node ${b.toFixed(2)} us, ratio ${(a / b).toFixed(2)}`,
  )
  await ours.close()
}

/** Through the run threads, with twice as many runs under way as there are threads. */
async function compareThreads(each: Case): Promise<void> {
  const rates: Record<number, number[]> = { 1: [], 2: [] }
  for (const threads of [1, 2]) await runFor(threads, each)
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const threads of [1, 2]) rates[threads]?.push(await runFor(threads, each))
  }
  const [one, two] = [median(rates[1] ?? []), median(rates[2] ?? [])]
  console.log(
    `${each.name.padEnd(30)} one thread ${one.toFixed(0)} runs/s, two threads ${two.toFixed(0)} runs/s, ratio ${(two / one).toFixed(2)}`,
  )
}

async function runFor(threads: number, each: Case): Promise<number> {
  const session = await load(threads, each)
  const request = requestOf(session, each)
  const runs = each.runsInRound
  let left = runs
  const began = performance.now()
  const lane = async () => {
    while (left > 0) {
      left -= 1
      const result = await session.run(request)
      result.release()
    }
  }
  await Promise.all(Array.from({ length: threads * 2 }, lane))
  const seconds = (performance.now() - began) / 1000
  await session.close()
  return runs / seconds
}

async function time(runs: number, run: () => unknown): Promise<number> {
  const began = performance.now()
  for (let index = 0; index < runs; index += 1) {
    const pending = run()
    if (pending instanceof Promise) await pending
  }
  return ((performance.now() - began) * 1000) / runs
}

function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1)
}

function requestOf(session: Session, { inputs }: Case) {
  return {
    inputs: inputs.map((input) => ({
      ...input,
      bytes: new Uint8Array(new ArrayBuffer(elementsOf(input.shape) * 4)),
    })),
    outputs: session.signature.outputs.map(({ name }) => name),
  }
}

function feedsOf({ inputs }: Case): Record<string, Tensor> {
  return Object.fromEntries(
    inputs.map(({ name, datatype, shape }) => {
      const elements = elementsOf(shape)
      const tensor =
        datatype === 'INT32'
          ? new Tensor('int32', new Int32Array(elements), shape)
          : new Tensor('float32', new Float32Array(elements), shape)
      return [name, tensor]
    }),
  )
}
