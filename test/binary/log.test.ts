/** What the appliance writes to its log: one line of JSON for each event, ONNX Runtime's own among them. */
import { afterAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { BINARY, createFolder, startServing } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { inferJson } from '../kit/v2.ts'

const folder = await createFolder()
afterAll(() => folder.remove())

test("ONNX Runtime's words stand in our log, with the session that they are about", async () => {
  await Bun.write(join(folder.path, 'models/optional/1/model.onnx'), zoo.optionalInput())
  await Bun.write(join(folder.path, 'models/fails/1/model.onnx'), zoo.failsOnIndex())
  const server = await startServing(folder.path, {
    command: [BINARY, 'serve', '--models', 'models', '--port', '0'],
  })
  const request = '{"inputs":[{"name":"INPUT0","datatype":"INT64","shape":[1],"data":[1000000]}]}'
  expect((await inferJson(server.url, 'fails', request)).status).toBe(400)
  expect(await server.stop()).toBe(0)

  const text = await Bun.file(join(folder.path, 'stderr.log')).text()
  const lines = text.trim().split('\n')
  const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(
    events.every(({ level, time, subsystem, event }) => [level, time, subsystem, event].every(Boolean)),
  ).toBe(true)
  const says = events.filter(({ event }) => event === 'runtime.onnxruntime_says')
  expect(says).toContainEqual(
    expect.objectContaining({ session: 'optional/1', level: 'info', text: expect.stringContaining('BIAS') }),
  )
  // A client's fault is answered to the client; it must not call out a person.
  expect(says).toContainEqual(
    expect.objectContaining({
      session: 'fails/1',
      level: 'warn',
      text: expect.stringContaining('out of data bounds'),
    }),
  )
  expect(events.map(({ event }) => event).slice(-2)).toEqual(['app.stopping', 'app.stopped'])
})
