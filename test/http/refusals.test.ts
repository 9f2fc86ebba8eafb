/** What is refused is counted by its code, where who watches the box can see it. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { setLogLevel } from '../../src/kit/log.ts'
import { stageApp } from '../kit/app-stage.ts'

beforeAll(() => setLogLevel('silent'))
afterAll(() => setLogLevel('info'))

type Send = (method: string, path: string, init?: RequestInit) => Promise<Response>

async function countersOf(send: Send): Promise<string[]> {
  const text = await (await send('GET', '/metrics')).text()
  return text.split('\n').filter((line) => /^limpet_(errors|bugs)_total/.test(line))
}

test('nothing refused, nothing counted', async () => {
  const { send } = await stageApp()
  expect(await countersOf(send)).toEqual(['limpet_bugs_total 0'])
})

test('each refusal by its code, on the way past the router and on the way through it', async () => {
  const { send } = await stageApp()
  await send('POST', '/v2/models/echo/infer', { body: '{' })
  await send('POST', '/v2/models/echo/generate', { body: '{' })
  await send('POST', '/v2/models/nobody/infer', { body: '{}' })
  await send('GET', '/v2/models/echo/infer')
  await send('GET', '/nowhere')
  expect(await countersOf(send)).toEqual([
    'limpet_errors_total{code="input_invalid"} 2',
    'limpet_errors_total{code="model_unknown"} 1',
    'limpet_errors_total{code="method_not_allowed"} 1',
    'limpet_errors_total{code="route_unknown"} 1',
    'limpet_bugs_total 0',
  ])
})

test('a bug is answered 500 without its words, and counted apart', async () => {
  const { send, ask } = await stageApp({
    clientHints: () => {
      throw new TypeError('of ours')
    },
  })
  expect(await ask('GET', '/v2/models/echo')).toEqual({
    status: 500,
    body: { error: 'Internal error: see the log' },
  })
  expect(await countersOf(send)).toEqual(['limpet_bugs_total 1'])
})
