/** The compiled binary as tuf-conformance calls it: a repository over HTTP, one process for each look. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, runToEnd } from '../kit/binary.ts'
import { later, newKey, TufSimulator } from '../trust/tuf-simulator.ts'

let folder: Awaited<ReturnType<typeof createFolder>>
let server: ReturnType<typeof Bun.serve>
let repository: TufSimulator
let count = 0

beforeAll(async () => {
  folder = await createFolder()
  server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async (request) => {
      const [, kind, ...rest] = new URL(request.url).pathname.split('/')
      const bytes =
        kind === 'metadata' ? await repository.fetchMetadata(rest.join('/')) : contentOf(rest.join('/'))
      return bytes === undefined
        ? new Response('', { status: 404 })
        : new Response(bytes as Uint8Array<ArrayBuffer>)
    },
  })
})
afterAll(async () => {
  await server.stop(true)
  await folder.remove()
})

/** Under consistent snapshots a file's name begins with its hash. */
function contentOf(path: string): Uint8Array | undefined {
  const plain = decodeURIComponent(path).replace(/[0-9a-f]{64}\./, '')
  for (const { contents } of repository.targets.values()) {
    const content = contents.get(plain)
    if (content !== undefined) return content
  }
  return undefined
}

/** A client of its own. */
async function client() {
  // The binary reads the real clock.
  repository = new TufSimulator()
  const soon = new Date(Date.now() + 30 * 86_400_000).toISOString().replace(/\.\d+/, '')
  for (const role of [repository.root, repository.timestamp, repository.snapshot, repository.role('targets')])
    role.expires = soon
  repository.root.version = 0
  repository.roots.length = 0
  repository.publishRoot()
  count += 1
  const home = join(folder.path, String(count))
  await mkdir(home)
  await writeFile(join(home, 'root.json'), repository.roots[0] ?? '')
  const metadata = [
    'tuf',
    '--metadata-dir',
    join(home, 'metadata'),
    '--metadata-url',
    new URL('metadata', server.url).href,
  ]
  const runWith = async (env: Record<string, string>, args: readonly string[]) => {
    const { exitCode, stderr } = await runToEnd(home, { command: [BINARY, ...args], env })
    return { exitCode, stderr }
  }
  const run = (...args: string[]) => runWith({}, args)
  expect(await run(...metadata.slice(0, 3), 'init', join(home, 'root.json'))).toEqual({
    exitCode: 0,
    stderr: '',
  })
  return {
    refresh: (env = {}) => runWith(env, [...metadata, 'refresh']),
    download: (name: string) =>
      run(
        ...metadata,
        '--target-name',
        name,
        '--target-dir',
        join(home, 'targets'),
        '--target-base-url',
        new URL('targets', server.url).href,
        'download',
      ),
    version: async (role: string) =>
      (
        JSON.parse(await readFile(join(home, 'metadata', `${role}.json`), 'utf8')) as {
          signed: { version: number }
        }
      ).signed.version,
    files: () => readdir(join(home, 'targets')).catch(() => []),
    metadata: join(home, 'metadata'),
  }
}

test('a look keeps what was accepted, a second one goes on from it, a roll-back is refused', async () => {
  const { refresh, version } = await client()
  expect((await refresh()).exitCode).toBe(0)
  repository.updateSnapshot()
  expect((await refresh()).exitCode).toBe(0)
  expect(await version('snapshot')).toBe(2)
  repository.timestamp.version = 1
  const refused = await refresh()
  expect(refused).toMatchObject({ exitCode: 1 })
  expect(refused.stderr).toContain('is less than current version 2')
  expect(await version('timestamp')).toBe(2)
}, 60_000)

test('files lost between two looks: an older version is refused all the same', async () => {
  const { refresh, metadata } = await client()
  repository.updateSnapshot()
  expect((await refresh()).exitCode).toBe(0)
  for (const name of ['timestamp', 'snapshot', 'targets'])
    await Bun.file(join(metadata, `${name}.json`)).delete()
  repository.timestamp.version = 1
  repository.timestamp.snapshotVersion = repository.snapshot.version = 1
  expect((await refresh()).stderr).toContain('2 was seen before')
}, 60_000)

test('a file is downloaded through a delegation, kept, and not taken when it is another', async () => {
  const { download, files } = await client()
  repository.delegate('targets', {
    name: '../role',
    keys: [newKey()],
    threshold: 1,
    terminating: true,
    paths: ['path/*'],
  })
  repository.role('../role').expires = repository.timestamp.expires
  repository.addTarget('../role', 'path/file.txt', Buffer.from('content'))
  repository.updateSnapshot()
  expect(await download('path/file.txt')).toEqual({ exitCode: 0, stderr: '' })
  expect(await files()).toEqual(['path%2Ffile.txt'])
  expect((await download('path/nothing.txt')).exitCode).toBe(1)
  repository.addTarget('../role', 'path/other.txt', Buffer.from('content'))
  repository.role('../role').contents.set('path/other.txt', Buffer.from('another'))
  repository.role('../role').version += 1
  repository.updateSnapshot()
  expect((await download('path/other.txt')).stderr).toContain('not what was signed')
  expect(await files()).toEqual(['path%2Ffile.txt'])
}, 60_000)

test('expired metadata is refused by the real clock', async () => {
  const { refresh } = await client()
  expect(Date.parse(later(-365))).toBeLessThan(Date.now())
  repository.timestamp.expires = later(-365)
  expect(await refresh()).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('expired') })
}, 60_000)

test('the ceremony runs in the binary, and what it makes is a repository that the binary trusts', async () => {
  const out = join(folder.path, 'ceremony')
  const init = await runToEnd(folder.path, {
    command: [BINARY, 'keys', 'init', '--out', out, '--family', 'vision'],
  })
  expect(init).toMatchObject({ exitCode: 0, stderr: '' })
  const rotate = await runToEnd(folder.path, {
    command: [BINARY, 'keys', 'rotate', 'timestamp', '--dir', out],
  })
  expect(rotate).toMatchObject({ exitCode: 0, stderr: '' })
  const files = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async (request) => {
      const file = Bun.file(join(out, 'registry/tuf', new URL(request.url).pathname))
      return (await file.exists()) ? new Response(file) : new Response('', { status: 404 })
    },
  })
  try {
    const base = ['tuf', '--metadata-dir', join(folder.path, 'trusting')]
    await runToEnd(folder.path, { command: [BINARY, ...base, 'init', join(out, 'registry/tuf/1.root.json')] })
    const look = await runToEnd(folder.path, {
      command: [BINARY, ...base, '--metadata-url', files.url.href, 'refresh'],
    })
    expect(look).toEqual({ exitCode: 0, stderr: '', stdout: '' })
    const root = JSON.parse(await readFile(join(folder.path, 'trusting/root.json'), 'utf8')) as {
      signed: { version: number }
    }
    expect(root.signed.version).toBe(2)
  } finally {
    await files.stop(true)
  }
}, 60_000)

test('killed at each durable write of a look, the device goes on at the next', async () => {
  const { refresh, version, metadata } = await client()
  expect((await refresh()).exitCode).toBe(0)
  const first = await Array.fromAsync(new Bun.Glob('**/*').scan({ cwd: metadata }))
  expect(first.length).toBeGreaterThan(3)
  let kills = 0
  for (let at = 1; at < 100; at += 1) {
    // Each round there is something new of everything.
    repository.publishRoot()
    repository.role('targets').version += 1
    repository.updateSnapshot()
    const { exitCode } = await refresh({ LIMPET_CRASH_AT: String(at) })
    if (exitCode === 0) break
    kills += 1
    expect(exitCode).toBe(137)
    expect(await refresh()).toEqual({ exitCode: 0, stderr: '' })
    expect(await version('targets')).toBe(repository.role('targets').version)
    expect(await version('root')).toBe(repository.root.version)
  }
  console.log(`killed at ${kills} durable writes`)
  expect(kills).toBeGreaterThan(12)
}, 120_000)
