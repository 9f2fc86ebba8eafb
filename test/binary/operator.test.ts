/** What an operator types: tokens, assignments, devices, asked of the compiled registry. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { BINARY, createFolder, runToEnd, writeModel } from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'
import { type RunningRegistry, startRegistry } from '../kit/registry.ts'

const folder = await createFolder()
let registry: RunningRegistry

const limpet = (...args: readonly string[]) => runToEnd(folder.path, { command: [BINARY, ...args] })

const operate = async (...args: readonly string[]) => {
  const key = join(registry.state, 'admin.key')
  return await limpet(...args, '--registry', registry.url, '--api-key-file', key)
}

async function push(version: string): Promise<void> {
  const models = join(folder.path, version)
  await writeModel(models, 'simple', { onnx: zoo.simple(), version })
  const keys = join(registry.state, 'development-keys')
  const [publisher = ''] = await Array.fromAsync(new Bun.Glob('demo-*.pem').scan(join(keys, 'publishers')))
  const pushed = await operate(
    ...['model', 'push', join(models, 'simple'), '--family', 'demo', '--root', join(keys, 'root.json')],
    ...['--key', join(keys, 'publishers', publisher)],
  )
  expect({ code: pushed.exitCode, stderr: pushed.stderr }).toEqual({ code: 0, stderr: '' })
}

beforeAll(async () => {
  registry = await startRegistry(folder.path)
  await push('1')
  await push('2')
})

afterAll(async () => {
  expect(await registry.stop()).toBe(0)
  await folder.remove()
})

test('a token enrols one device by the line that is printed with it, and no second one', async () => {
  const { stdout } = await operate('token', '--device', 'cam-1', '--hours', '2')
  const [, ...enrol] = (/limpet enrol --registry \S+ --token \S+/.exec(stdout)?.[0] ?? '').split(' ')
  const enrolled = await limpet(...enrol, '--state', 'cam-1')
  expect({ code: enrolled.exitCode, stdout: enrolled.stdout }).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('Enrolled as "cam-1"'),
  })
  expect((await limpet(...enrol, '--state', 'cam-2')).exitCode).not.toBe(0)
  expect((await operate('device', 'list')).stdout).toMatch(/^cam-1 {2}offline, seen /)
  expect(JSON.parse((await operate('device', 'show', 'cam-1', '--json')).stdout)).toMatchObject({
    id: 'cam-1',
    online: false,
    events: [],
  })
})

describe('assign', () => {
  const assigned = async () => {
    const { assignments } = (await (await registry.ask('GET', '/v1/assignments')).json()) as {
      assignments: { target: string; models: { model: string; version: string; policy?: object }[] }[]
    }
    return assignments.map(({ target, models }) => ({
      target,
      models: models.map(({ model, version, policy }) => ({ model, version, policy })),
    }))
  }

  test('a version with its policy; the next one takes its place', async () => {
    await operate('assign', 'all', 'demo/simple@1', '--observe-seconds', '5')
    expect(await assigned()).toEqual([
      { target: 'all', models: [{ model: 'demo/simple', version: '1', policy: { observe_seconds: 5 } }] },
    ])
    const { stdout } = await operate('assign', 'all', 'demo/simple@2')
    expect(stdout).toBe('Assigned to 1 devices:\n  demo/simple  2\n')
    expect(await assigned()).toEqual([
      { target: 'all', models: [{ model: 'demo/simple', version: '2', policy: undefined }] },
    ])
  })

  test.each([
    [['all', 'demo/simple'], 65, 'expected FAMILY/NAME@VERSION'],
    [['all', 'demo/simple@9'], 65, 'demo/simple'],
    [['cam-9', 'demo/simple@1'], 65, 'none is enrolled so'],
  ])('%p: refused in words, and nothing changes', async (args, code, words) => {
    const before = await assigned()
    const { exitCode, stderr } = await operate('assign', ...args)
    expect({ exitCode, stderr }).toEqual({ exitCode: code, stderr: expect.stringContaining(words) })
    expect(await assigned()).toEqual(before)
  })
})

test('a key that opens nothing is refused, and is not printed', async () => {
  const key = join(folder.path, 'wrong.key')
  await Bun.write(key, 'lk_0123456789abcdef_0123456789abcdef\n')
  const { exitCode, stderr } = await limpet(
    ...['device', 'list', '--registry', registry.url, '--api-key-file', key],
  )
  expect(exitCode).not.toBe(0)
  expect(stderr).not.toContain('0123456789abcdef')
})

test('audit says who has changed what, the newest last, and no secret', async () => {
  const { stdout, exitCode } = await operate('audit', '--subject', 'all', '--json')
  expect(exitCode).toBe(0)
  const [first] = JSON.parse(stdout) as object[]
  expect(first).toMatchObject({
    key: { name: 'first', role: 'admin' },
    method: 'PUT',
    path: '/v1/assignments/all',
    subject: 'all',
    address: '127.0.0.1',
    outcome: 'done',
  })
  const words = (await operate('audit')).stdout
  expect(words).toContain('POST /v1/tokens')
  expect(words).toContain('first (admin, ')
  expect(words).not.toMatch(/_[0-9a-f]{64}/)
})

test('tags are set one by one, told, and refused in words', async () => {
  expect((await operate('device', 'tag', 'cam-1', 'site=berlin', 'line=3')).stdout).toBe(
    'site=berlin\nline=3\n',
  )
  expect((await operate('device', 'tag', 'cam-1', 'site=paris', 'line=')).stdout).toBe('site=paris\n')
  expect(JSON.parse((await operate('device', 'tag', 'cam-1', '--json')).stdout)).toEqual({ site: 'paris' })
  const wrong = await operate('device', 'tag', 'cam-1', 'site')
  expect([wrong.exitCode, wrong.stderr]).toEqual([65, expect.stringContaining('expected NAME=VALUE')])
  const refused = await operate('device', 'tag', 'cam-1', 'Site=berlin')
  expect([refused.exitCode, refused.stderr]).toEqual([65, expect.stringContaining(`"Site" is no tag's name`)])
})
