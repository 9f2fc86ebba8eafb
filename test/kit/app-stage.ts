/** The HTTP API over a fake backend that serves "echo" in version 1, and knows a "broken" model. */

import { LoopLooks } from '../../src/app/loop-delay.ts'
import { type AppOptions, createHandler } from '../../src/http/app.ts'
import { Codec } from '../../src/http/codec.ts'
import { Engine } from '../../src/inference/engine.ts'
import { Lanes } from '../../src/inference/lanes.ts'
import { FakeClock } from './fake-clock.ts'
import { FakeBackend, FakeSession, lanePlan } from './fake-session.ts'
import { createTracer } from './traces.ts'

export async function stageApp(options: Partial<AppOptions> = {}) {
  const backend = new FakeBackend()
  const session = new FakeSession()
  backend.sessions.set('echo/1', session)
  const lanes = new Lanes({ backend, clock: new FakeClock(), runsMax: 1 })
  await lanes.load(lanePlan('echo', '1'))
  await lanes.load(lanePlan('echo', '2'))
  lanes.note('broken', '', 'it holds no version')
  const handle = createHandler({
    engine: new Engine({ lanes, requestsMax: 4, bytesMax: 1e6 }),
    serverName: 'limpet',
    serverVersion: '1.2.3',
    bodyBytesMax: 100_000,
    codec: new Codec(),
    control: {
      load: () => Promise.resolve([]),
      unload: () => Promise.resolve(),
      label: () => Promise.resolve({}),
    },
    machine: () => Promise.resolve({ processors: undefined, gpus: [] }),
    board: { profile: 'x64', jetpack: '', unknown: 0, missing: [] },
    loopDelay: () => new LoopLooks({ nowMs: 0, busyMs: 0 }).snapshot,
    isStarted: () => true,
    clientHints: () => undefined,
    configured: () => undefined,
    labels: () => undefined,
    basePath: '',
    restrictions: [],
    regions: undefined,
    tracer: createTracer(),
    watch: undefined,
    moreMetrics: () => [],
    ...options,
  })
  const send = async (method: string, path: string, init: RequestInit = {}) =>
    await handle(new Request(`http://limpet${path}`, { method, ...init }))
  const ask = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
    const response = await send(method, path, { ...(text === undefined ? {} : { body: text }), headers })
    const json: unknown = await response.json()
    return { status: response.status, body: json }
  }
  return { ask, send, session }
}

export function echoRequest(data: readonly number[], outputs?: readonly unknown[]) {
  const input = { name: 'INPUT0', datatype: 'UINT8', shape: [data.length], data }
  return { inputs: [input], ...(outputs === undefined ? {} : { outputs }) }
}
