/** Stopping takes no longer than it may, whatever is still running. */
import { afterAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { BINARY, createFolder, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'

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
