/** The registry as it is shipped: its first start, its secrets, its restart. */
import { afterAll, describe, expect, test } from 'bun:test'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, readLog, runToEnd, startServing } from '../kit/binary.ts'
import { enrolDevice, startRegistry } from '../kit/registry.ts'

const folder = await createFolder()
afterAll(folder.remove)

describe('the first start', () => {
  test('without keys says how to make them, and leaves nothing that looks like a registry', async () => {
    const ended = await runToEnd(folder.path, {
      command: [BINARY, 'registry', '--state', 'empty', '--port', '0'],
    })
    expect([ended.exitCode, ended.stdout]).toEqual([78, ''])
    expect(ended.stderr).toContain('limpet keys init --out DIR --family NAME')
    expect(await readdir(join(folder.path, 'empty'))).toEqual([])
  })

  test('with the keys of a ceremony serves what devices trust', async () => {
    const made = await runToEnd(folder.path, {
      command: [BINARY, 'keys', 'init', '--out', 'fleet', '--family', 'vision'],
    })
    expect(made.exitCode).toBe(0)
    const registry = await startServing(folder.path, {
      command: [BINARY, 'registry', '--state', 'fleet/registry', '--port', '0', '--mqtt-port', '0'],
      ready: /registry on (http\S+),/,
    })
    const root = await (await fetch(`${registry.url}/tuf/1.root.json`)).bytes()
    expect(root).toEqual(await Bun.file(join(folder.path, 'fleet/root.json')).bytes())
    expect(await registry.stop()).toBe(0)
  })

  test('makes the first key, for its owner only, and says where it lies; the second start makes none', async () => {
    const home = join(folder.path, 'first')
    const first = await startRegistry(home)
    expect(first.stdout()).toContain('DEVELOPMENT KEYS')
    expect(first.stdout()).toContain(`The first key, of role admin, is in ${first.state}/admin.key`)
    const key = join(first.state, 'admin.key')
    expect((await stat(key)).mode & 0o777).toBe(0o600)
    expect((await first.ask('GET', '/v1/keys')).status).toBe(200)
    await first.stop()

    const second = await startRegistry(home)
    expect(second.stdout()).not.toContain('admin.key')
    expect(second.stdout()).not.toContain('DEVELOPMENT KEYS')
    const { keys } = (await (await second.ask('GET', '/v1/keys')).json()) as { keys: unknown[] }
    expect(keys).toHaveLength(1)
    await second.stop()
  })
})

test('of two over one folder the second is refused; who comes after a kill is not', async () => {
  const home = join(folder.path, 'alone')
  const first = await startRegistry(home)
  const second = await runToEnd(home, {
    command: [BINARY, 'registry', '--state', first.state, '--port', '0', '--mqtt-port', '0'],
  })
  expect([second.exitCode, second.stderr]).toEqual([
    1,
    expect.stringContaining(`Cannot use the registry in "${first.state}": another process runs it`),
  ])
  expect((await first.ask('GET', '/v1/keys')).status).toBe(200)
  await first.stop('SIGKILL')
  const third = await startRegistry(home)
  expect(await third.stop()).toBe(0)
})

test('a first start that was killed at any of its durable writes is made good by the next', async () => {
  const home = join(folder.path, 'cut')
  for (const at of [1, 2, 5, 9, 14, 20, 27, 30]) {
    const killed = startRegistry(home, { env: { LIMPET_CRASH_AT: String(at) } })
    const survived = await killed.catch(() => undefined)
    await survived?.stop('SIGKILL')
  }
  const registry = await startRegistry(home)
  expect((await registry.ask('GET', '/v1/models')).status).toBe(200)
  await enrolDevice(registry, 'cam-01')
  await registry.stop()
})

test('no secret comes into the log or onto the screen, whatever goes right or wrong', async () => {
  const home = join(folder.path, 'secrets')
  const registry = await startRegistry(home)
  const { token } = (await (await registry.ask('POST', '/v1/tokens', {})).json()) as { token: string }
  const enrol = (body: object) =>
    fetch(`${registry.url}/v1/enrol`, { method: 'POST', body: JSON.stringify(body) })
  expect((await enrol({ token, device: 'NOT AN ID' })).status).toBe(400)
  const enrolled = (await (await enrol({ token, device: 'cam-01' })).json()) as { secret: string }
  expect((await enrol({ token, device: 'cam-02' })).status).toBe(401)
  const { key } = (await (
    await registry.ask('POST', '/v1/keys', { name: 'ci', role: 'publisher' })
  ).json()) as {
    key: string
  }
  await fetch(`${registry.url}/v1/devices`, { headers: { authorization: `Bearer ${key}x` } })
  expect(await registry.stop()).toBe(0)

  const said = (await readLog(home)) + registry.stdout()
  const secrets = [
    token,
    enrolled.secret,
    key,
    (await Bun.file(join(registry.state, 'admin.key')).text()).trim(),
  ]
  expect(secrets.map((secret) => secret.length > 60)).toEqual([true, true, true, true])
  expect(
    secrets.filter((secret) => said.includes(secret) || said.includes(secret.split('_').at(-1) ?? '')),
  ).toEqual([])
})

test('a registry that is killed comes back with what it has acknowledged', async () => {
  const home = join(folder.path, 'killed')
  const before = await startRegistry(home)
  const device = await enrolDevice(before, 'cam-07')
  await before.stop('SIGKILL')
  const after = await startRegistry(home)
  const listed = (await (await after.ask('GET', '/v1/devices/cam-07')).json()) as object
  expect(listed).toMatchObject({ id: 'cam-07', online: false, hardware: { architecture: process.arch } })
  const own = await fetch(`${after.url}/v1/assignments/cam-07`, {
    headers: { authorization: `Basic ${Buffer.from(`cam-07:${device.secret}`).toString('base64')}` },
  })
  expect(own.status).toBe(404)
  await after.stop()
})
