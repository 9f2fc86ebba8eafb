/** The compiled binary on a board that gets hot: it turns requests away before the board slows down, and takes all again. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, readLog, startServing, writeModel } from '../kit/binary.ts'
import { eventually } from '../kit/device-link.ts'
import * as zoo from '../kit/model-zoo.ts'
import { inferJson } from '../kit/v2.ts'

const folder = await createFolder()
const here = (name: string) => join(folder.path, name)
let server: Running

const ROW = { datatype: 'INT32', shape: [1, 16], data: Array(16).fill(1) }
const BODY = JSON.stringify({ inputs: ['INPUT0', 'INPUT1'].map((name) => ({ name, ...ROW })) })

/** As the kernel tells it, in thousandths. */
const heat = (celsius: number) =>
  Bun.write(here('board/sys/class/thermal/thermal_zone0/temp'), `${celsius * 1000}\n`)

async function admittedShare(): Promise<number> {
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  return Number(/^limpet_admitted_share (\S+)$/m.exec(metrics)?.[1])
}

beforeAll(async () => {
  await Bun.write(here('board/sys/class/thermal/thermal_zone0/type'), 'tj-thermal\n')
  await heat(60)
  await writeModel(here('models'), 'simple', { onnx: zoo.simple() })
  const settings = [
    ...['[profile]', 'name = "jetson-orin-nano-8gb"'],
    ...['[health]', `root = "${here('board')}"`, '[thermal]', 'look_seconds = 0.1', ''],
  ]
  await Bun.write(here('limpet.toml'), settings.join('\n'))
  const args = ['--models', here('models'), '--port', '0', '--config', here('limpet.toml')]
  server = await startServing(folder.path, { command: [BINARY, 'serve', ...args] })
})

afterAll(async () => {
  await server.stop('SIGKILL')
  await folder.remove()
})

test('while it is hot most are told to come again, some get in, and it says so', async () => {
  expect(await inferJson(server.url, 'simple', BODY)).toMatchObject({ status: 200 })
  await heat(100)
  await eventually('the share is down', async () => (await admittedShare()) === 0.1)
  const answers = await Promise.all(
    Array.from({ length: 20 }, () =>
      fetch(`${server.url}/v2/models/simple/infer`, { method: 'POST', body: BODY }),
    ),
  )
  const refused = answers.filter(({ status }) => status === 503)
  expect(refused).toHaveLength(18)
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(2)
  expect(refused[0]?.headers.get('retry-after')).toBe('1')
  expect(await refused[0]?.json()).toEqual({
    error:
      'Cannot admit request: the board is hot, and 10 % of the requests are let in (limpet_admitted_share)',
  })
  expect(await (await fetch(`${server.url}/metrics`)).text()).toContain(
    'limpet_requests_refused_total{reason="heat"} 18\n',
  )
  // Who asks whether it is there is not turned away.
  expect((await fetch(`${server.url}/v2/health/ready`)).status).toBe(200)
})

test('when it is cool again all get in', async () => {
  await heat(60)
  await eventually('the share is up', async () => (await admittedShare()) === 1)
  expect(await inferJson(server.url, 'simple', BODY)).toMatchObject({ status: 200 })
  const events = (await readLog(folder.path)).split('\n').filter((line) => line.includes('app.load_shed'))
  expect(events.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual([
    'app.load_shed',
    'app.load_shed_over',
  ])
})
