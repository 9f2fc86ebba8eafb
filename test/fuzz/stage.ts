/** The compiled binary with the fuzzer's models, bounds that are soon reached, and shared memory that is there. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { residentBytes } from '../../scripts/bench-kit.ts'
import { BINARY, createFolder, type Running, readLog, startServing, writeModel } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { type Answer, Line } from './exchange.ts'
import { REGION } from './infer-cases.ts'
import { SHARED_KEY, SPARE } from './route-cases.ts'
import { FUZZ_MODELS } from './zoo.ts'

const BODY_BYTES_MAX = 1024 ** 2
/** A server without any load needs about 120 MB; beside that, what a few bodies and what is read of them may take. */
const RESIDENT_BYTES_MAX = 700 * 1024 ** 2
const SILENT_MS = 20_000

export interface Stage {
  readonly running: Running
  readonly line: () => Line
  /** What is wrong with the server, or undefined. `isQuiet`: nobody else is asking. */
  readonly examine: (how: { isQuiet: boolean }) => Promise<string | undefined>
  readonly log: () => Promise<string>
  readonly resident: () => Promise<number>
  readonly stop: () => Promise<void>
}

export async function startStage(binary = BINARY): Promise<Stage> {
  const folder = await createFolder()
  const models = join(folder.path, 'models')
  for (const { name, onnx, config } of FUZZ_MODELS)
    await writeModel(models, name, {
      onnx: new Uint8Array(onnx()),
      ...(config === undefined ? {} : { config }),
    })
  for (const name of SPARE) await writeModel(models, name, { onnx: zoo.identity('FLOAT', ['batch', 4]) })
  const key = `/limpet-fuzz-${process.pid}`
  SHARED_KEY.value = key
  await Bun.write(`/dev/shm${key}`, new Uint8Array(REGION.bytes))
  const config = join(folder.path, 'limpet.toml')
  // Without its log: hours of refusals would fill a disk.
  await Bun.write(
    config,
    `log_level = "warn"\n[http]\nbody_bytes_max = ${BODY_BYTES_MAX}\nshared_memory = true\n[runtime]\nthreads = 2\n`,
  )
  const running = await startServing(folder.path, {
    command: [binary, 'serve', '--models', models, '--port', '0', '--config', config],
  })
  const { hostname, port } = new URL(running.url)
  const line = () => new Line({ host: hostname, port: Number(port) }, SILENT_MS)
  const own = line()
  const ask = (method: string, path: string, body = '') => {
    const head = `${method} ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
    return own.exchange(Buffer.from(head + body), { isWhole: true, isHead: false })
  }
  const registered = await ask(
    'POST',
    `/v2/systemsharedmemory/region/${REGION.name}/register`,
    JSON.stringify({ key, offset: 0, byte_size: REGION.bytes }),
  )
  if (typeof registered !== 'object' || registered.status !== 200) throw new Error('No shared memory')

  const examine: Stage['examine'] = async ({ isQuiet }) => {
    const good = await ask('POST', '/v2/models/simple/infer', GOOD_REQUEST)
    if (!isGoodAnswer(good)) return `the good request was answered ${describe(good)}`
    const resident = await residentBytes(running.pid)
    if (resident > RESIDENT_BYTES_MAX) return `${resident} bytes are resident, at most ${RESIDENT_BYTES_MAX}`
    return isQuiet ? await waitUntilEmpty() : undefined
  }
  /** What was cut off or refused has to give back its place and its bytes, if not at once. */
  const waitUntilEmpty = async () => {
    const endMs = performance.now() + SILENT_MS
    for (;;) {
      const metrics = await ask('GET', '/metrics')
      if (typeof metrics !== 'object' || metrics.status !== 200) return `no metrics: ${describe(metrics)}`
      const left = /^limpet_request(?:s|_bytes)_in_flight [1-9].*$/m.exec(metrics.body.toString())
      if (left === null) return undefined
      if (performance.now() > endMs) return `something has not been given back: ${left[0]}`
    }
  }
  return {
    running,
    line,
    examine,
    log: () => readLog(folder.path),
    resident: () => residentBytes(running.pid),
    stop: async () => {
      own.drop()
      await running.stop()
      await rm(`/dev/shm${key}`, { force: true })
      await folder.remove()
    },
  }
}

const row = (name: string, value: number) =>
  `{"name":"${name}","datatype":"INT32","shape":[1,16],"data":[${Array(16).fill(value)}]}`
const GOOD_REQUEST = `{"inputs":[${row('INPUT0', 40)},${row('INPUT1', 2)}]}`

function isGoodAnswer(answer: Answer | string): boolean {
  if (typeof answer === 'string' || answer.status !== 200) return false
  const text = answer.body.toString()
  return text.includes(`"data":[${Array(16).fill(42)}]`) && text.includes(`"data":[${Array(16).fill(38)}]`)
}

const describe = (answer: Answer | string) =>
  typeof answer === 'string' ? answer : `${answer.status}: ${answer.body.toString('utf8', 0, 400)}`
