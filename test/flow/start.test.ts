/** `npm start` as README tells it: a fleet on one machine, a second version over the air, and a second start. */
import { afterAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { createFolder, runToEnd, startServing } from '../kit/binary.ts'
import { until } from '../kit/until.ts'
import { inferJson } from '../kit/v2.ts'

const SCRIPT = join(import.meta.dir, '../../scripts/start.ts')
const BINARY = join(import.meta.dir, `../../dist/limpet-linux-${process.arch}`)

const folder = await createFolder()
afterAll(folder.remove)
const state = join(folder.path, 'state')

const start = () =>
  startServing(folder.path, {
    command: [process.execPath, SCRIPT, '--port', '0'],
    env: { LIMPET_STATE: state },
    ready: /limpet is up: device on (http\S+),/,
  })

const row = Array.from({ length: 16 }, (_, index) => index)
const body = JSON.stringify({
  inputs: ['INPUT0', 'INPUT1'].map((name) => ({ name, datatype: 'INT32', shape: [1, 16], data: row })),
})

async function askSimple(url: string) {
  const { text } = await inferJson(url, 'simple', body)
  const { model_version, outputs } = JSON.parse(text) as {
    model_version: string
    outputs: [{ data: number[] }]
  }
  return { version: model_version, first: outputs[0].data.at(-1) }
}

/** With what `. .limpet/env` exports. */
async function limpet(...args: readonly string[]): Promise<string> {
  const lines = (await Bun.file(join(state, 'env')).text()).trim().split('\n')
  const env = Object.fromEntries(
    lines.map((line) => {
      const [, name = '', value = ''] = /^export (\w+)=(.*)$/.exec(line) ?? []
      return [name, JSON.parse(value) as string]
    }),
  )
  const { exitCode, stdout, stderr } = await runToEnd(folder.path, { command: [BINARY, ...args], env })
  expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' })
  return stdout
}

test('a registry, a device, the sample models over the air, and a second version that goes live', async () => {
  const first = await start()
  const index = (await (await fetch(`${first.url}/v2/repository/index`, { method: 'POST' })).json()) as {
    name: string
    state: string
  }[]
  expect(index.map(({ name, state: is }) => [name, is]).sort()).toEqual(
    ['silero-vad', 'simple', 'text-detector', 'text-orientation'].map((name) => [name, 'READY']),
  )
  expect(await askSimple(first.url)).toEqual({ version: '1', first: 30 })

  await limpet('model', 'push', join(state, 'next/simple'), '--family', 'demo')
  await limpet('assign', 'all', 'demo/simple@2', '--observe-seconds', '1')
  await until('the second version', async () =>
    (await askSimple(first.url)).version === '2' ? true : undefined,
  )
  expect(await askSimple(first.url)).toEqual({ version: '2', first: 0 })
  await until('its commit', async () =>
    /demo\/simple: serves 2 .*\n {2}update to 2: committed/.test(
      await limpet('status', '--state', join(state, 'device')),
    )
      ? true
      : undefined,
  )
  expect(await first.stop()).toBe(0)

  const second = await start()
  expect(await askSimple(second.url)).toEqual({ version: '2', first: 0 })
  expect(second.stdout()).not.toContain('published')
  expect(await second.stop()).toBe(0)
}, 180_000)
