/** Runs the compiled binary as a user would: in an empty folder, with nothing but the binary and a models folder. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = join(import.meta.dir, '../..')
export const BINARY = join(ROOT, `dist/limpet-linux-${process.arch}`)
export const BINARY_ARM64 = join(ROOT, 'dist/limpet-linux-arm64')
export const MODELS = join(ROOT, 'models')
export const DATA = join(ROOT, 'test/data')

const START_MS_MAX = 60_000

export interface Running {
  readonly url: string
  readonly pid: number
  /** What it has printed so far. */
  readonly stdout: () => string
  /** Sends a signal, waits for the end, gives the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number>
  readonly exited: Promise<number>
}

export interface Spawned {
  readonly command: readonly string[]
  /** What it prints when it serves, with where; that of `serve` and `up` without it. */
  readonly ready?: RegExp
  readonly env?: Record<string, string>
  /** It is waited for so many times as long as for what this machine runs itself. */
  readonly slowness?: number
}

/** A folder of its own for each test file, removed at the end. */
export async function createFolder(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'limpet-test-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** Nothing of this shell: no PATH with Bun or Node, a home of its own. */
export function cleanEnvironment(folder: string): Record<string, string> {
  return {
    PATH: '/usr/bin:/bin',
    HOME: folder,
    LIMPET_STATE: join(folder, 'state'),
    LIMPET_CALL: 'at_once',
  }
}

/** Starts a command that serves, and resolves once it says where. */
export async function startServing(folder: string, spawned: Spawned): Promise<Running> {
  const child = Bun.spawn([...spawned.command], {
    cwd: folder,
    env: { ...cleanEnvironment(folder), ...spawned.env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: Bun.file(join(folder, 'stderr.log')),
  })
  let printed = ''
  const { promise: url, resolve, reject } = Promise.withResolvers<string>()
  let isServing = false
  const waitMsMax = START_MS_MAX * (spawned.slowness ?? 1)
  const timer = setTimeout(
    () => reject(new Error(`Not serving after ${waitMsMax} ms: ${printed}`)),
    waitMsMax,
  )
  const read = async () => {
    const decoder = new TextDecoder()
    for await (const chunk of child.stdout) {
      printed += decoder.decode(chunk, { stream: true })
      const match = (spawned.ready ?? /serves \d+ of \d+ models on (http:\S+)\n/).exec(printed)
      if (match?.[1] === undefined) continue
      isServing = true
      resolve(match[1])
    }
    clearTimeout(timer)
    // After a start that went well the end is no news, and the folder may be on its way out.
    if (isServing) return
    throw new Error(`Ended with ${await child.exited} before serving: ${await readLog(folder)}`)
  }
  read().catch(reject)
  void child.exited.then(() => clearTimeout(timer))
  try {
    return {
      url: await url,
      pid: child.pid,
      stdout: () => printed,
      exited: child.exited,
      stop: async (signal = 'SIGTERM') => {
        child.kill(signal)
        return await child.exited
      },
    }
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
}

/** Runs a command to its end. */
export async function runToEnd(folder: string, spawned: Spawned) {
  const child = Bun.spawn([...spawned.command], {
    cwd: folder,
    env: { ...cleanEnvironment(folder), ...spawned.env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { stdout, stderr, exitCode }
}

export async function readLog(folder: string): Promise<string> {
  return await Bun.file(join(folder, 'stderr.log')).text()
}

/** Puts a model into a repository: NAME/VERSION/model.onnx, and NAME/config.toml where there is one. */
export async function writeModel(
  root: string,
  name: string,
  model: { onnx: Uint8Array; version?: string; config?: string },
): Promise<void> {
  await Bun.write(join(root, name, model.version ?? '1', 'model.onnx'), model.onnx)
  if (model.config !== undefined) await Bun.write(join(root, name, 'config.toml'), model.config)
}

/** A port that was free a moment ago, for what has to come back at the same one. */
export async function freePort(): Promise<number> {
  const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response() })
  const { port } = server
  await server.stop(true)
  if (port === undefined) throw new Error('The system gave no port')
  return port
}
