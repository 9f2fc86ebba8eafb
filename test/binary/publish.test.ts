/** A publisher and the holder of the keys at work on a registry that runs: two binaries, no other parts. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { cp, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, MODELS, type Running, runToEnd, startServing } from '../kit/binary.ts'

const folder = await createFolder()
const home = folder.path
let registry: Running

beforeAll(async () => {
  await run('keys', 'init', '--out', 'fleet', '--family', 'vision')
  // The registry has its part, the holder of the keys the rest.
  await rename(join(home, 'fleet/registry'), join(home, 'registry'))
  registry = await startServing(home, {
    command: [BINARY, 'registry', '--state', 'registry', '--port', '0', '--mqtt-port', '0'],
    ready: /registry on (http\S+),/,
  })
  await cp(join(MODELS, 'simple'), join(home, 'simple'), { recursive: true, dereference: true })
})
afterAll(async () => {
  await registry.stop()
  await folder.remove()
})

async function run(...args: string[]) {
  return await runToEnd(home, { command: [BINARY, ...args] })
}

const access = () => ['--registry', registry.url, '--api-key-file', 'registry/admin.key']
const trusting = () => [...access(), '--root', 'fleet/root.json']
const good = { exitCode: 0, stderr: '' }

async function keyOf(family: string): Promise<string> {
  const names = (await readdir(join(home, 'fleet/publishers'))).filter((name) => name.startsWith(family))
  return join('fleet/publishers', names.at(-1) ?? '')
}

test('a version is published, listed, verified and bundled', async () => {
  const push = await run(
    'model',
    'push',
    'simple',
    '--family',
    'vision',
    '--key',
    await keyOf('vision'),
    '--make-golden',
    '2',
    ...trusting(),
  )
  expect(push).toMatchObject(good)
  expect((await run('model', 'list', ...access())).stdout).toContain('vision/simple  1  release 1')
  expect(await run('model', 'verify', 'vision/simple', '1', ...access())).toMatchObject(good)
  expect(
    await run('bundle', 'export', 'site.bundle', '--model', 'vision/simple@1', ...access()),
  ).toMatchObject(good)
})

test('a new version that shares all its bytes sends none of them', async () => {
  await cp(join(home, 'simple'), join(home, 'next/simple'), { recursive: true })
  await rename(join(home, 'next/simple/1'), join(home, 'next/simple/2'))
  const push = await run(
    'model',
    'push',
    'next/simple',
    '--family',
    'vision',
    '--key',
    await keyOf('vision'),
    ...access(),
  )
  expect(push).toMatchObject(good)
  expect(push.stdout).toContain('0 bytes new to the registry, 0 bytes sent')
})

test('a family that is added on the registry that runs publishes at once', async () => {
  expect(await run('keys', 'add-publisher', 'audio', '--dir', 'fleet', ...access())).toMatchObject(good)
  const push = await run(
    'model',
    'push',
    'simple',
    '--family',
    'audio',
    '--key',
    await keyOf('audio'),
    ...access(),
  )
  expect(push).toMatchObject(good)
  expect((await run('model', 'list', ...access())).stdout).toContain('audio/simple  1  release 1')
})

test('a publisher whose key was rotated on the registry that runs publishes with the new one only', async () => {
  const old = await keyOf('audio')
  await rename(join(home, old), join(home, 'old.pem'))
  expect(await run('keys', 'rotate', 'audio', '--dir', 'fleet', ...access())).toMatchObject(good)
  const floor = (key: string) => run('model', 'floor', 'audio/simple', '1', '--key', key, ...access())
  expect((await floor('old.pem')).stderr).toContain('its publisher is')
  expect(await floor(await keyOf('audio'))).toMatchObject(good)
})

test('the timestamp key is rotated once the registry holds the new one', async () => {
  const early = await run('keys', 'rotate', 'timestamp', '--dir', 'fleet', ...access())
  expect(early.stderr).toContain('Cannot sign as timestamp')
  for (const name of await readdir(join(home, 'fleet/registry/keys'))) {
    await cp(join(home, 'fleet/registry/keys', name), join(home, 'registry/keys', name))
  }
  expect(await run('keys', 'sign-root', '--dir', 'fleet', ...access())).toMatchObject(good)
  expect((await run('model', 'list', ...access())).exitCode).toBe(0)
})

test('a version that is removed is not listed any more', async () => {
  expect(
    await run('model', 'remove', 'vision/simple', '1', '--key', await keyOf('vision'), ...access()),
  ).toMatchObject(good)
  expect((await run('model', 'list', ...access())).stdout).not.toContain('vision/simple  1  ')
})
