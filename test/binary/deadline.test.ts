/** Stopping takes no longer than it may, whatever is still running. */
import { afterAll, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { join } from 'node:path'
import { BINARY, createFolder, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { encodeBinary, tensorOf } from '../kit/v2.ts'

const folder = await createFolder()
afterAll(() => folder.remove())

test('a run that would go on for minutes is killed with its process when the time to stop is up', async () => {
  await Bun.write(join(folder.path, 'models/slow/1/model.onnx'), zoo.slow())
  await Bun.write(join(folder.path, 'limpet.toml'), '[supervisor]\nstop_seconds_max = 1\n')
  const args = ['--models', 'models', '--config', 'limpet.toml', '--port', '0']
  const up = await startServing(folder.path, { command: [BINARY, 'up', ...args] })
  const body = '{"inputs":[{"name":"INPUT0","datatype":"INT64","shape":[1],"data":[100000000]}]}'
  const cutOff = fetch(`${up.url}/v2/models/slow/infer`, { method: 'POST', body }).then(
    () => 'answered',
    () => 'cut off',
  )
  while (!/limpet_requests_in_flight 1/.test(await (await fetch(`${up.url}/metrics`)).text()));
  expect(await up.stop('SIGTERM')).toBe(0)
  expect(await cutOff).toBe('cut off')
  expect(await Bun.file(join(folder.path, 'stderr.log')).text()).toContain('"event":"app.killed"')
  // Nobody is left to answer.
  await expect(fetch(`${up.url}/v2/health/live`)).rejects.toThrow()
}, 60_000)

test('answers that are being written for clients that have gone do not keep the server from ending', async () => {
  await Bun.write(join(folder.path, 'floats/floats/1/model.onnx'), zoo.identity('FLOAT'))
  const server = await startServing(folder.path, {
    command: [BINARY, 'serve', '--models', 'floats', '--port', '0'],
  })
  const data = new Float32Array(2_000_000).fill(0.123456789)
  const input = tensorOf('INPUT0', 'FP32', { shape: [data.length], data })
  // Read in a moment, and written as JSON by another thread for tenths of a second.
  const { body, headers } = encodeBinary([input], { binary_data_output: false })
  const head = Object.entries({ Host: 'x', 'Content-Length': body.length, ...headers })
  const { hostname, port } = new URL(server.url)
  const clients = Array.from({ length: 6 }, () => {
    const socket = connect({ host: hostname, port: Number(port) })
    socket.write(
      `POST /v2/models/floats/infer HTTP/1.1\r\n${head.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
    )
    socket.write(body)
    return socket
  })
  const metrics = async () => await (await fetch(`${server.url}/metrics`)).text()
  while (!/nv_inference_exec_count\{model="floats",version="1"\} 6/.test(await metrics()));
  for (const client of clients) client.destroy()
  expect(await server.stop()).toBe(0)
}, 60_000)
