/**
 * Nothing leaves the machine. ONNX Runtime's telemetry has two steps: at once it writes an identity of the machine and a
 * database of events under HOME; some time later it sends them. The first is looked for on disk, the second at the
 * system calls, and each with a control that shows that the looking sees what it should.
 */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir, readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { BINARY, cleanEnvironment, createFolder, MODELS, runToEnd, startServing } from '../kit/binary.ts'
import { inferBinary, tensorOf } from '../kit/v2.ts'

const STRACE = Bun.which('strace')
if (STRACE === null) console.warn('What leaves the machine is not tested: there is no strace')

const folder = await createFolder()
afterAll(folder.remove)

const traced = (file: string, command: readonly string[]) => [
  STRACE ?? '',
  ...['-f', '-qq', '-e', 'trace=connect,sendto,sendmsg,sendmmsg', '-o', file],
  ...command,
]

/** The calls that name an address beyond this machine. A resolver that listens on loopback counts as well: port 53. */
async function readOutside(file: string): Promise<string[]> {
  const lines = (await Bun.file(file).text()).split('\n')
  return lines.filter((line) => {
    if (!/AF_INET6?\b/.test(line)) return false
    const isLoopback = /inet_addr\("127\.|inet_pton\(AF_INET6, "::1"/.test(line)
    return !isLoopback || /htons\(53\)/.test(line)
  })
}

/** Without a network of its own a program's attempts fail, but are still seen: the control must not really send. */
const APART = ['unshare', '--map-root-user', '--net']
const canBeApart = await runToEnd(folder.path, { command: [...APART, 'true'] }).then(
  ({ exitCode }) => exitCode === 0,
  () => false,
)
if (!canBeApart) console.warn('What telemetry would send is not looked at: there is no unshare --net')

async function startTraced(
  name: string,
  file: string,
): Promise<{ home: string; stop: () => Promise<number> }> {
  const home = join(folder.path, name)
  await mkdir(home)
  const command = traced(file, [BINARY, 'serve', '--models', MODELS, '--port', '0'])
  const server = await startServing(home, { command })
  const values = () => ({ shape: [1, 16], data: new Int32Array(16) })
  await inferBinary(server.url, 'simple', [
    tensorOf('INPUT0', 'INT32', values()),
    tensorOf('INPUT1', 'INT32', values()),
  ])
  const stop = async () => {
    // strace passes no signal on; the server is its only child.
    const child = Number(await Bun.file(`/proc/${server.pid}/task/${server.pid}/children`).text())
    process.kill(child, 'SIGTERM')
    return await server.exited
  }
  return { home, stop }
}

/** The library as onnxruntime-node loads it, with nothing that holds it back. Stays until it is killed. */
async function startFree(name: string, file: string): Promise<{ home: string; stop: () => Promise<void> }> {
  const home = join(folder.path, name)
  await mkdir(home)
  const library = JSON.stringify(Bun.resolveSync('onnxruntime-node', import.meta.dir))
  const model = JSON.stringify(join(MODELS, 'simple/1/model.onnx'))
  const program = `await require(${library}).InferenceSession.create(${model}); await new Promise((end) => process.stdin.once('end', end).resume())`
  const child = Bun.spawn([...APART, ...traced(file, [process.execPath, '-e', program])], {
    cwd: home,
    env: cleanEnvironment(home),
    stdin: 'pipe',
    stdout: 'ignore',
    stderr: 'ignore',
  })
  const stop = async () => {
    await child.stdin.end()
    await child.exited
  }
  return { home, stop }
}

const FIRST_ATTEMPT_MS_MAX = 40_000

async function waitForOutside(file: string): Promise<string[]> {
  const deadline = performance.now() + FIRST_ATTEMPT_MS_MAX
  while (performance.now() < deadline) {
    const outside = (await Bun.file(file).exists()) ? await readOutside(file) : []
    if (outside.length > 0) return outside
    await Bun.sleep(50)
  }
  return []
}

const list = async (home: string) => (await readdir(home, { recursive: true })).map((path) => basename(path))

describe.skipIf(STRACE === null)('nothing leaves the machine', () => {
  test.skipIf(!canBeApart)(
    'in the time in which the same library, left to itself, has tried to',
    async () => {
      const files = { ours: join(folder.path, 'ours.trace'), free: join(folder.path, 'free.trace') }
      const ours = await startTraced('ours', files.ours)
      const free = await startFree('free', files.free)
      const attempts = await waitForOutside(files.free)
      await free.stop()
      expect(await ours.stop()).toBe(0)

      expect(attempts).not.toEqual([])
      expect(await readOutside(files.ours)).toEqual([])
      expect(await list(free.home)).toEqual(expect.arrayContaining(['deviceid', 'onnxruntime.db']))
      expect((await readdir(ours.home)).sort()).toEqual(['state', 'stderr.log'])
    },
    60_000,
  )

  test('while models load, one is asked, and the server stops', async () => {
    const file = join(folder.path, 'short.trace')
    const { stop } = await startTraced('short', file)
    expect(await stop()).toBe(0)
    expect(await readOutside(file)).toEqual([])
  }, 60_000)

  test('and what did would be seen: an address that nobody has', async () => {
    const file = join(folder.path, 'control.trace')
    const program = 'exec 3<>/dev/udp/192.0.2.1/9 && printf x >&3'
    await runToEnd(folder.path, { command: traced(file, ['/bin/bash', '-c', program]) })
    expect(await readOutside(file)).toEqual([expect.stringContaining('192.0.2.1')])
  })
})
