/** A registry restored from yesterday's backup, the device that has gone on since, and the publisher who has. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { cp, mkdir, readdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BINARY, createFolder, type Running, runToEnd } from '../kit/binary.ts'
import { startRegistry } from '../kit/registry.ts'
import { type Device, eventually, Fleet, glanceAt, startUp } from './fleet.ts'
import { askScale, scaling } from './versions.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(240_000)

const MODEL = 'vision/scale'
const folder = await createFolder()
const served: string[] = []
const watching = new AbortController()
let watched: Promise<void>
let fleet: Fleet
let device: Device
let up: Running
let file: string

beforeAll(async () => {
  fleet = await Fleet.start(folder.path)
  await cp(join(fleet.registry.state, 'development-keys'), join(folder.path, 'keys'), { recursive: true })
  await cp(join(fleet.registry.state, 'admin.key'), join(folder.path, 'api.key'))
  device = await fleet.enrol('cam-01')
  up = await startUp(device)
  file = join(folder.path, 'yesterday.backup')
  await push(1)
  await fleet.assign('cam-01', [{ model: MODEL, version: '1' }])
  await fleet.ended(device, MODEL, { version: '1', state: 'committed' })
  watched = watch()
})

afterAll(async () => {
  watching.abort()
  await watched
  await up.stop()
  await fleet.registry.stop()
  await folder.remove()
})

/** What is served from now on, each time that it changes. */
async function watch(): Promise<void> {
  while (!watching.signal.aborted) {
    const answer = await askScale(up.url)
    if (served.at(-1) !== answer) served.push(answer)
    await Bun.sleep(20)
  }
}

const limpet = (...args: readonly string[]) =>
  runToEnd(folder.path, { command: [BINARY, 'registry', ...args, '--state', fleet.registry.state] })

/** As a publisher does, from a machine that remembers what it has published. */
async function push(release: number): Promise<string> {
  const { version, files } = scaling(release)
  const home = join(folder.path, `published-${release}`, 'scale')
  for (const [path, bytes] of Object.entries(files)) {
    await mkdir(dirname(join(home, path)), { recursive: true })
    await writeFile(join(home, path), bytes)
  }
  const [key] = await readdir(join(folder.path, 'keys/publishers')).then((names) =>
    names.filter((name) => name.startsWith('vision-')),
  )
  const { exitCode, stdout, stderr } = await runToEnd(folder.path, {
    command: [
      ...[BINARY, 'model', 'push', home, '--family', 'vision', '--model-version', version],
      ...['--key', join(folder.path, 'keys/publishers', key ?? ''), '--root', 'keys/root.json'],
      ...['--registry', fleet.registry.url, '--api-key-file', 'api.key'],
    ],
  })
  expect([exitCode, stderr]).toEqual([0, ''])
  return stdout
}

async function published(): Promise<{ version: string; release: number; manifest: string }[]> {
  const answer = await fleet.registry.ask('GET', `/v1/models/${MODEL}`)
  return ((await answer.json()) as { versions: Awaited<ReturnType<typeof published>> }).versions
}

async function timestamp(): Promise<number> {
  const { signed } = (await (await fleet.registry.ask('GET', '/tuf/timestamp.json')).json()) as {
    signed: { version: number }
  }
  return signed.version
}

async function restart(): Promise<void> {
  const { url, mqttUrl } = fleet.registry
  const ports = { port: Number(new URL(url).port), mqttPort: Number(new URL(mqttUrl).port) }
  fleet.registry = await startRegistry(join(folder.path, 'central'), ports)
}

const bring = async (version: string) => {
  await fleet.assign('cam-01', [{ model: MODEL, version }])
  await fleet.ended(device, MODEL, { version, state: 'committed' })
}

/** What the device said since then. */
async function told(code: string, after: number): Promise<Awaited<ReturnType<Fleet['events']>>[number]> {
  return await eventually(`the device says ${code}`, async () =>
    (await fleet.events('cam-01')).slice(after).find((event) => event.code === code),
  )
}

test('a running registry is backed up, and is not restored over', async () => {
  const made = await limpet('backup', file, '--packs')
  expect([made.exitCode, made.stderr]).toEqual([0, ''])
  expect(made.stdout).toContain('Not in it: what devices have measured')
  const refused = await limpet('restore', file)
  expect([refused.exitCode, refused.stderr]).toEqual([
    1,
    expect.stringContaining('--replace puts them aside'),
  ])
  const running = await limpet('restore', file, '--replace')
  expect([running.exitCode, running.stderr]).toEqual([1, expect.stringContaining('another process runs it')])
})

let second: { version: string; release: number; manifest: string } | undefined

test('on a new disk it goes on above what the device has seen, which installs nothing older', async () => {
  await push(2)
  second = (await published())[1]
  await bring('2')
  const before = await glanceAt(device)
  expect(before).toMatchObject({ rev: 2, metadata_seen: { timestamp: await timestamp() } })

  await fleet.registry.stop()
  await rename(fleet.registry.state, join(folder.path, 'broken-disk'))
  const restored = await limpet('restore', file)
  expect([restored.exitCode, restored.stderr]).toEqual([0, ''])
  expect(restored.stdout).not.toContain('missing')
  await restart()

  // It knows rev 1, and metadata that the device has seen newer: it is told so, and signs above it.
  await eventually('the registry goes on above what the device has seen', async () => {
    return (await timestamp()) > (before?.metadata_seen.timestamp ?? 0)
  })
  await told('metadata_rolled_back', 0)
  expect(await published()).toHaveLength(1)
  expect(await askScale(up.url)).toBe('2 times 2')
})

test('what the publisher publishes next is taken, and what was lost can be published again as what it was', async () => {
  const words = await push(3)
  expect(words).toContain('the registry has forgotten what was signed')
  expect(words).toContain('lost at the registry, push it again: vision/scale 2')

  // Yesterday's word comes under a rev above the one that was lost, and gives no leave to go back.
  expect(await told('downgrade_not_allowed', 0)).toMatchObject({ version: '1', to: 'rejected' })
  expect((await glanceAt(device))?.rev).toBeGreaterThan(2)
  expect(await askScale(up.url)).toBe('2 times 2')

  await bring('3')
  expect(await push(2)).toContain('published vision/scale 2 again as release 2')
  expect((await published()).map(({ version }) => version)).toEqual(['1', '2', '3'])
  expect((await published())[1]).toEqual(second)
})

test('restored in its own place, it has the bytes of what was published since, and lists it again', async () => {
  const rev = (await glanceAt(device))?.rev ?? 0
  await fleet.registry.stop()
  const restored = await limpet('restore', file, '--replace')
  expect([restored.exitCode, restored.stderr]).toEqual([0, ''])
  const [aside] = (await readdir(dirname(fleet.registry.state))).filter((name) => name.includes('.before-'))
  expect(restored.stdout).toContain(`${aside}; its packs and objects were taken over`)
  await restart()
  expect(await published()).toHaveLength(1)
  const words = await push(4)
  expect(words).not.toContain('lost at the registry')
  expect((await published()).map(({ version }) => version)).toEqual(['1', '2', '3', '4'])
  await bring('4')
  expect((await glanceAt(device))?.rev).toBeGreaterThan(rev)
})

test('nothing but what was published was served, and no older version after a newer one', async () => {
  await eventually('the fourth is served', async () => served.at(-1) === '4 times 4')
  expect(served).toEqual(['1 times 1', '2 times 2', '3 times 3', '4 times 4'])
})
