/** Debian's HAProxy, with the configuration that operators copy, in front of other servers than those in it. */
import { join } from 'node:path'
import { freePort } from './binary.ts'
import { eventually } from './device-link.ts'

export const HAPROXY = Bun.which('haproxy', { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' })

/** Says why, so that a skipped test is seen. */
export const WITHOUT_HAPROXY = HAPROXY === null ? ' (skipped: haproxy is not installed)' : ''

const CONFIG = join(import.meta.dir, '../../deploy/haproxy/haproxy.cfg')

export interface RunningProxy {
  readonly url: string
  /** What it thinks of a server: "UP", "DOWN", and how many requests it has sent there once more. */
  server(name: string): Promise<{ readonly status: string; readonly retries: number }>
  stop(): Promise<void>
}

export async function startHaproxy(folder: string, servers: readonly string[]): Promise<RunningProxy> {
  const [port, statsPort] = [await freePort(), await freePort()]
  const lines = servers.map((url, index) => `    server device-${index + 1} ${new URL(url).host}`)
  const text = (await Bun.file(CONFIG).text())
    .replace('127.0.0.1:8080', `127.0.0.1:${port}`)
    .replace('127.0.0.1:8404', `127.0.0.1:${statsPort}`)
    .replace(/( {4}server device-\d+ \S+\n)+/, `${lines.join('\n')}\n`)
  const path = join(folder, 'haproxy.cfg')
  await Bun.write(path, text)
  const child = Bun.spawn([HAPROXY ?? 'haproxy', '-db', '-f', path], {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: Bun.file(join(folder, 'haproxy.log')),
  })
  const stats = async () => {
    const answer = await fetch(`http://127.0.0.1:${statsPort}/;csv`)
    const [head = '', ...rows] = (await answer.text()).replace(/^# /, '').trim().split('\n')
    const names = head.split(',')
    return rows.map((row) => Object.fromEntries(row.split(',').map((value, at) => [names[at] ?? '', value])))
  }
  const server = async (name: string) => {
    const row = (await stats()).find((each) => each['svname'] === name)
    return {
      status: row?.['status'] ?? '',
      retries: Number(row?.['wretr'] ?? 0) + Number(row?.['wredis'] ?? 0),
    }
  }
  const stop = async () => {
    child.kill('SIGKILL')
    await child.exited
  }
  try {
    await eventually('haproxy answers', () => stats().catch(() => undefined))
  } catch (cause) {
    await stop()
    throw cause
  }
  return { url: `http://127.0.0.1:${port}`, server, stop }
}
