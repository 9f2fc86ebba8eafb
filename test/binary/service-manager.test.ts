/** The compiled binary under a service manager that waits to be told, as systemd does. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { fstatSync, openSync } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  BINARY,
  cleanEnvironment,
  createFolder,
  type Running,
  runToEnd,
  startServing,
  writeModel,
} from '../kit/binary.ts'
import { eventually } from '../kit/device-link.ts'
import { simple } from '../kit/model-zoo.ts'
import { NotifyReceiver } from '../kit/notify-receiver.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(120_000)

const folder = await createFolder()
afterAll(folder.remove)
await writeModel(join(folder.path, 'models'), 'simple', { onnx: simple() })

const SILENT = 'STATUS=serve does not answer'

async function createHome(name: string): Promise<string> {
  const home = join(folder.path, name)
  await mkdir(home)
  return home
}

/** Whichever thread has started them. */
async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`)
  const lists = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => '')),
  )
  return lists.join(' ').split(' ').filter(Boolean).map(Number)
}

describe('limpet up', () => {
  test('is ready when its models are loaded, is fed while serve answers and no longer, and says that it stops', async () => {
    const home = await createHome('device')
    using manager = new NotifyReceiver(join(home, 'notify'))
    const up = await startServing(home, {
      command: [BINARY, 'up', '--models', join(folder.path, 'models'), '--port', '0'],
      env: { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: '2000000' },
    })
    try {
      await eventually('ready', () => manager.count('READY=1') > 0)
      await eventually('fed', () => manager.count('WATCHDOG=1') > 0)
      const [serve = 0] = await childrenOf(up.pid)
      expect(await readFile(`/proc/${serve}/environ`, 'utf8')).not.toMatch(/NOTIFY_SOCKET|WATCHDOG/)

      process.kill(serve, 'SIGSTOP')
      const before = manager.messages().length
      await eventually('said', () => manager.count(SILENT, before) > 0)
      const since = manager.messages().length
      // Hung as it is, nobody who asks is told that it is well; meanwhile there are several looks.
      const asked = await health(home, ['--socket', join(home, 'state/serve.sock'), '--timeout-ms', '3000'])
      expect(asked).toMatchObject({ exitCode: 69 })
      expect(manager.count('WATCHDOG=1', since)).toBe(0)
      process.kill(serve, 'SIGCONT')
      await eventually('fed again', () => manager.count('WATCHDOG=1', since) > 0)

      process.kill(serve, 'SIGKILL')
      await eventually('another is fed for', async () => {
        const [next] = await childrenOf(up.pid)
        return next !== undefined && next !== serve && (await health(home, [])).exitCode === 0
      })
      expect(await up.stop()).toBe(0)
      expect(manager.messages().at(-1)).toBe('STOPPING=1\nSTATUS=stopping')
      expect(manager.count('READY=1')).toBe(1)
    } finally {
      await end(up)
    }
  })

  test('into the journal each line says how serious it is, and is JSON behind that', async () => {
    const home = await createHome('journal')
    const log = join(home, 'log')
    const { dev, ino } = fstatSync(openSync(log, 'w'))
    const command = [BINARY, 'serve', '--models', join(folder.path, 'models'), '--port', '0']
    const child = Bun.spawn(command, {
      env: { ...cleanEnvironment(home), JOURNAL_STREAM: `${dev}:${ino}` },
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: Bun.file(log),
    })
    try {
      await eventually('serving', async () => (await Bun.file(log).text()).includes('app.serving'))
    } finally {
      child.kill('SIGTERM')
      await child.exited
    }
    const lines = (await Bun.file(log).text()).trim().split('\n')
    for (const line of lines) {
      const [, priority, json = ''] = /^<(\d)>(.*)$/.exec(line) ?? []
      const { level } = JSON.parse(json) as { level: 'error' | 'warn' | 'info' | 'debug' }
      expect(priority).toBe({ error: '3', warn: '4', info: '6', debug: '7' }[level])
    }
  })
})

test('limpet registry: ready, fed, and says that it stops', async () => {
  const home = await createHome('registry')
  using manager = new NotifyReceiver(join(home, 'notify'))
  const state = join(home, 'registry')
  const registry = await startServing(home, {
    command: [BINARY, 'registry', '--state', state, '--dev-keys', '--port', '0', '--mqtt-port', '0'],
    ready: /registry on (http\S+), MQTT/,
    env: { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: '2000000' },
  })
  try {
    await eventually('ready', () => manager.count('READY=1') > 0)
    await eventually('fed', () => manager.count('WATCHDOG=1') > 0)
    expect(await health(home, ['--registry', '--url', registry.url])).toMatchObject({ exitCode: 0 })
    expect(await registry.stop()).toBe(0)
    expect(manager.messages().at(-1)).toBe('STOPPING=1\nSTATUS=stopping')
  } finally {
    await end(registry)
  }
})

describe('limpet health', () => {
  test('0 when all is loaded, 1 while it is not, also for who waits, 69 where nobody answers', async () => {
    const home = await createHome('health')
    let isReady = false
    const asked: string[] = []
    const server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: (request) => {
        const path = new URL(request.url).pathname
        asked.push(`${path} ${request.headers.get('x-key')}`)
        return new Response('loading', { status: isReady || path.endsWith('live') ? 200 : 400 })
      },
    })
    const { port } = server
    const config = join(home, 'limpet.toml')
    const restricted = '[[http.restricted]]\napis = ["health"]\nheader = "x-key"\nvalue = "sesame"\n'
    await Bun.write(config, `[http]\nport = ${port}\nhost = "0.0.0.0"\nbase_path = "/edge"\n${restricted}`)
    try {
      const loading = await health(home, ['--config', config])
      expect(loading).toMatchObject({ exitCode: 1 })
      expect(loading.stdout).toBe(
        `not well: http://127.0.0.1:${port}/edge/v2/health/ready answers 400 loading\n`,
      )
      expect(await health(home, ['--config', config, '--live'])).toMatchObject({ exitCode: 0 })
      const waiting = health(home, ['--config', config, '--wait-seconds', '60'])
      await eventually('asked again', () => asked.length >= 5)
      isReady = true
      expect(await waiting).toMatchObject({ exitCode: 0 })
      expect(new Set(asked)).toEqual(new Set(['/edge/v2/health/ready sesame', '/edge/v2/health/live sesame']))
    } finally {
      await server.stop(true)
    }
    const silent = await health(home, ['--config', config])
    expect(silent).toMatchObject({ exitCode: 69 })
    expect(silent.stdout).toStartWith(`no answer: http://127.0.0.1:${port}/edge/v2/health/ready: `)
  })

  test.each([
    [['--url', 'http://127.0.0.1:1', '--socket', '/x'], '--socket'],
    [['--registry', '--live'], '--live'],
    [['--wait-seconds', 'long'], '--wait-seconds'],
  ])('%p is refused with 64', async (args, named) => {
    const { exitCode, stderr } = await health(folder.path, args)
    expect({ exitCode, isNamed: stderr.includes(named) }).toEqual({ exitCode: 64, isNamed: true })
  })
})

const health = (home: string, args: readonly string[]) =>
  runToEnd(home, { command: [BINARY, 'health', ...args] })

async function end(running: Running): Promise<void> {
  for (const pid of await childrenOf(running.pid).catch(() => [])) process.kill(pid, 'SIGKILL')
  await running.stop('SIGKILL')
}
