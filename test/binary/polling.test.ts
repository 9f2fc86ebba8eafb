/** The compiled binary keeping itself in step with its models folder. */
import { afterAll, expect, test } from 'bun:test'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { inferJson } from '../kit/v2.ts'

const folder = await createFolder()
afterAll(() => folder.remove())
const path = (name: string) => join(folder.path, name)

const REQUEST = JSON.stringify({
  inputs: ['INPUT0', 'INPUT1'].map((name) => ({
    name,
    datatype: 'INT32',
    shape: [1, 16],
    data: new Array(16).fill(4),
  })),
})

async function start(control: string) {
  await Bun.write(path('limpet.toml'), `[models]\ncontrol = "${control}"\npoll_seconds = 0.05\n`)
  const args = ['--models', 'models', '--config', 'limpet.toml', '--port', '0']
  const server = await startServing(folder.path, { command: [BINARY, 'serve', ...args] })
  const version = async () => {
    const { status, text } = await inferJson(server.url, 'm', REQUEST)
    return status === 200 ? (JSON.parse(text) as { model_version: string }).model_version : String(status)
  }
  /** Asks until it is so, and says how many answers were something else than before or after. */
  const becomes = async (wanted: string, before: string) => {
    const others = new Set<string>()
    for (let now = await version(); now !== wanted; now = await version()) if (now !== before) others.add(now)
    return [...others]
  }
  const control_ = (verb: string) => fetch(`${server.url}/v2/repository/models/m/${verb}`, { method: 'POST' })
  return { server, becomes, control: control_ }
}

test('a version that comes is taken up when it is whole, and let go when it goes; no request fails', async () => {
  await Bun.write(path('models/m/1/model.onnx'), zoo.simple())
  const { server, becomes, control } = await start('poll')
  expect(await becomes('1', '1')).toEqual([])

  // Half a file that keeps growing is not taken; the whole one, moved in at once, is.
  const whole = zoo.simple()
  await Bun.write(path('models/m/2/model.onnx'), whole.slice(0, whole.length / 2))
  await Bun.write(path('whole.onnx'), whole)
  await rename(path('whole.onnx'), path('models/m/2/model.onnx'))
  expect(await becomes('2', '1')).toEqual([])

  await rm(path('models/m/2'), { recursive: true })
  expect(await becomes('1', '2')).toEqual([])

  await rename(path('models/m'), path('aside'))
  expect(await becomes('503', '1')).toEqual([])
  await rename(path('aside'), path('models/m'))
  expect(await becomes('1', '503')).toEqual([])

  const refused = await control('load')
  expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('polling is enabled')])
  expect(await server.stop()).toBe(0)
}, 30_000)

test('with control = "none" models stay as they were loaded', async () => {
  const { server, control } = await start('none')
  for (const verb of ['load', 'unload']) {
    const refused = await control(verb)
    expect([refused.status, await refused.text()]).toEqual([
      400,
      expect.stringContaining('models.control is'),
    ])
  }
  expect(await server.stop()).toBe(0)
})
