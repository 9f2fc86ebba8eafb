/**
 * What bench-serve.ts holds the server against, each in a process of its own so that its processor time can be read:
 *
 *   bun scripts/bench-floor.ts echo                     a Bun.serve that reads the body and says "ok"
 *   bun scripts/bench-floor.ts served MODEL THREADS     the same, with a run of the model in between: no checks, no tensors
 *   bun scripts/bench-floor.ts loop MODEL THREADS MS    runs and nothing else, on so many threads
 *
 * The first two print where they listen; the last prints runs a second and microseconds of processor time a run.
 */
import '../test/kit/no-telemetry.ts'
import { join } from 'node:path'
import { EMBEDDED } from '../src/app/embedded.ts'
import type { Tensor } from '../src/runtime/backend.ts'
import { OrtBackend } from '../src/runtime/ort-backend.ts'
import { MODELS } from '../test/kit/binary.ts'
import { SESSION_OPTIONS } from '../test/kit/session-options.ts'
import { inputsOf } from './bench-cases.ts'

const [mode, model = '', threads = '1', milliseconds = '1000'] = process.argv.slice(2)

async function openModel() {
  const backend = new OrtBackend({ libraryPath: EMBEDDED.onnxruntime.path, threads: Number(threads) })
  const session = await backend.load(
    { path: join(MODELS, model, '1/model.onnx') },
    { ...SESSION_OPTIONS, id: model },
  )
  const outputs = session.signature.outputs.map(({ name }) => name)
  return { backend, session, request: { inputs: inputsOf(model) as readonly Tensor[], outputs } }
}

function listen(answer: (request: Request) => Promise<Response>): void {
  console.log(Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: answer }).url.href)
}

if (mode === 'echo') {
  listen(async (request) => {
    await request.arrayBuffer()
    return new Response('ok')
  })
} else if (mode === 'served') {
  const { session, request: run } = await openModel()
  listen(async (request) => {
    await request.arrayBuffer()
    const result = Number(threads) === 1 ? session.runInline(run) : await session.run(run)
    result.release()
    return new Response('ok')
  })
} else {
  const { backend, session, request } = await openModel()
  const before = process.cpuUsage()
  const end = performance.now() + Number(milliseconds)
  let runs = 0
  const worker = async () => {
    while (performance.now() < end) {
      if (Number(threads) === 1) session.runInline(request).release()
      else (await session.run(request)).release()
      runs += 1
    }
  }
  await Promise.all(Array.from({ length: Number(threads) * 2 }, worker))
  const { user, system } = process.cpuUsage(before)
  console.log(
    JSON.stringify({ rate: runs / (Number(milliseconds) / 1000), cpuMicros: (user + system) / runs }),
  )
  await session.close()
  await backend.stop()
  process.exit(0)
}
