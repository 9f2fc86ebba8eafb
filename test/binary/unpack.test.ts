/** The libraries that travel inside the binary, and what a start makes of them on disk. */
import { afterAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, MODELS, runToEnd, startServing } from '../kit/binary.ts'

const folder = await createFolder()
afterAll(folder.remove)

const doctor = (state: string) => runToEnd(folder.path, { command: [BINARY, 'doctor', '--state', state] })
/** A command that loads ONNX Runtime, and ends. */
const probe = (state: string) =>
  runToEnd(folder.path, { command: [BINARY, 'probe', join(MODELS, 'simple'), '--state', state] })

/** A state folder of its own for each test, in which nothing is yet. */
async function createHome(name: string): Promise<{ home: string; state: string }> {
  const home = join(folder.path, name)
  await mkdir(home)
  return { home, state: join(home, 'state') }
}

interface Unpacked {
  readonly path: string
  readonly sha256: string
  /** What changes when the file is written again. */
  readonly written: string
}

/** Everything under `unpacked`, and that each file is what its folder's name says. */
async function listUnpacked(state: string): Promise<Unpacked[]> {
  const root = join(state, 'unpacked')
  const paths = (await readdir(root, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  return await Promise.all(
    paths.sort().map(async (path) => {
      const sha256 = createHash('sha256')
        .update(await readFile(path))
        .digest('hex')
      expect(path.startsWith(`${join(root, sha256)}/`)).toBe(true)
      const { ino, mtimeNs, size } = await stat(path, { bigint: true })
      return { path, sha256, written: `${ino} ${mtimeNs} ${size}` }
    }),
  )
}

describe('the first start', () => {
  test('unpacks each library under its own SHA-256, and the second leaves it as it is', async () => {
    const { state } = await createHome('twice')
    expect((await probe(state)).exitCode).toBe(0)
    const first = await listUnpacked(state)
    expect(first.map(({ path }) => path.split('/').at(-1))).toEqual(['libonnxruntime.so.1'])
    expect((await probe(state)).exitCode).toBe(0)
    expect(await listUnpacked(state)).toEqual(first)
  })

  test('may be two at once: both serve, and one whole library is there', async () => {
    const { home, state } = await createHome('both')
    const command = [BINARY, 'serve', '--models', MODELS, '--port', '0', '--state', state]
    const homes = [join(home, 'a'), join(home, 'b')]
    await Promise.all(homes.map((path) => mkdir(path)))
    const servers = await Promise.all(homes.map((path) => startServing(path, { command })))
    for (const { url } of servers) expect((await fetch(`${url}/v2/models/simple/ready`)).status).toBe(200)
    expect(await Promise.all(servers.map((server) => server.stop()))).toEqual([0, 0])
    expect(await listUnpacked(state)).toHaveLength(1)
  })

  test('needs no file around it and no environment, not even a PATH', async () => {
    const { home, state } = await createHome('bare')
    const serve = [BINARY, 'serve', '--models', MODELS, '--port', '0', '--state', state]
    const server = await startServing(home, { command: ['/usr/bin/env', '-i', ...serve] })
    expect((await fetch(`${server.url}/v2/models/simple/ready`)).status).toBe(200)
    expect(await server.stop()).toBe(0)
    // Beside what this test itself keeps there.
    expect((await readdir(home)).sort()).toEqual(['state', 'stderr.log'])
  })
})

describe('a library that rotted on disk', () => {
  test.each([
    ['by one bit in the middle', flipBit],
    ['to half its length', (path: string, bytes: number) => resize(path, bytes / 2)],
    ['to nothing', (path: string) => resize(path, 0)],
  ])('%s is noticed and replaced', async (title, spoil) => {
    const { state } = await createHome(title)
    await probe(state)
    const first = await listUnpacked(state)
    for (const { path } of first) await spoil(path, (await stat(path)).size)
    const { stdout, exitCode } = await probe(state)
    expect({ stdout, exitCode }).toEqual({ stdout: expect.stringContaining('"fit": true'), exitCode: 0 })
    const second = await listUnpacked(state)
    expect(second.map(({ path }) => path)).toEqual(first.map(({ path }) => path))
  })
})

describe('a state folder that cannot be written', () => {
  // Below a file: that refuses root too.
  const blocked = join(folder.path, 'blocked/state')

  test('ends serve with 73 and names the folder and the way out', async () => {
    await writeFile(join(folder.path, 'blocked'), '')
    const command = [BINARY, 'serve', '--models', MODELS, '--port', '0', '--state', blocked]
    const { stdout, stderr, exitCode } = await runToEnd(folder.path, { command })
    expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 73 })
    const last = stderr.trim().split('\n').at(-1)
    expect(last).toContain(`limpet: Cannot unpack "libonnxruntime`)
    expect(last).toContain(`into "${blocked}`)
    expect(last).toContain('--state DIR or LIMPET_STATE')
  })

  test('is what doctor says is bad', async () => {
    await writeFile(join(folder.path, 'blocked'), '')
    const { stdout, exitCode } = await doctor(blocked)
    expect(exitCode).toBe(1)
    const bad = stdout.split('\n').filter((line) => line.includes(' FAULT  '))
    expect(bad).toEqual([
      expect.stringMatching(/storage .*state folder ".*blocked\/state".*blocked" is no folder/),
    ])
  })
})

async function flipBit(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'r+')
  const at = Math.floor(bytes / 2)
  const one = new Uint8Array(1)
  await file.read(one, 0, 1, at)
  await file.write(Uint8Array.of((one[0] ?? 0) ^ 1), 0, 1, at)
  await file.close()
}

async function resize(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'r+')
  await file.truncate(Math.floor(bytes))
  await file.close()
}
