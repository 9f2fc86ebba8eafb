/**
 * From exec of the compiled binary to the first answer of the text-orientation classifier, and resident memory idle
 * with it loaded. The first start unpacks the library and is printed apart. Aim: under 250 ms, under 150 MB.
 */
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BINARY, MODELS, startServing } from '../test/kit/binary.ts'
import { inferBinary, tensorOf } from '../test/kit/v2.ts'
import { describeMachine, median, residentBytes } from './bench-kit.ts'

const STARTS = 11
const IDLE_MS = 2_000

const folder = await mkdtemp(join(tmpdir(), 'limpet-bench-'))
const models = join(folder, 'models')
await mkdir(models)
await cp(join(MODELS, 'text-orientation'), join(models, 'text-orientation'), { recursive: true })

console.log(describeMachine())
const first = await start()
console.log(`first start, unpacking the library: ${first.milliseconds.toFixed(0)} ms`)
const starts: Awaited<ReturnType<typeof start>>[] = []
for (let index = 0; index < STARTS; index += 1) starts.push(await start())
const times = starts.map(({ milliseconds }) => milliseconds)
console.log(
  `exec to first answer, median of ${STARTS}: ${median(times).toFixed(0)} ms ` +
    `(${Math.min(...times).toFixed(0)} to ${Math.max(...times).toFixed(0)}), aim 250 ms`,
)
const idle = median(starts.map(({ bytes }) => bytes)) / 1e6
console.log(`resident memory, idle after ${IDLE_MS} ms: ${idle.toFixed(0)} MB, aim 150 MB`)
await rm(folder, { recursive: true })
process.exit(0)

async function start(): Promise<{ milliseconds: number; bytes: number }> {
  const began = performance.now()
  const server = await startServing(folder, { command: [BINARY, 'serve', '--models', models, '--port', '0'] })
  const input = { shape: [1, 3, 48, 192], data: new Float32Array(3 * 48 * 192) }
  await inferBinary(server.url, 'text-orientation', [tensorOf('x', 'FP32', input)])
  const milliseconds = performance.now() - began
  await Bun.sleep(IDLE_MS)
  const bytes = await residentBytes(server.pid)
  await server.stop()
  return { milliseconds, bytes }
}
