/** Debian's own Mosquitto, with what `limpet registry broker-config` has written for it. */
import { join } from 'node:path'
import { BINARY, runToEnd } from './binary.ts'
import { eventually } from './device-link.ts'

export const MOSQUITTO = Bun.which('mosquitto', { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' })

/** Says why, so that a skipped test is seen. */
export const WITHOUT_MOSQUITTO = MOSQUITTO === null ? ' (skipped: mosquitto is not installed)' : ''

export interface RunningBroker {
  readonly url: string
  readonly port: number
  stop(signal?: NodeJS.Signals): Promise<void>
  /** Reads its passwords again. */
  reload(): void
}

export async function writeBrokerConfig(
  folder: string,
  options: { state: string; port: number },
): Promise<string> {
  const out = join(folder, 'mosquitto')
  const { exitCode, stderr } = await runToEnd(folder, {
    command: [
      ...[BINARY, 'registry', 'broker-config', 'mosquitto', '--state', options.state],
      ...['--out', out, '--listen', `127.0.0.1:${options.port}`],
    ],
  })
  if (exitCode !== 0) throw new Error(stderr)
  return out
}

export async function startMosquitto(
  config: string,
  { port, extra = '' }: { port: number; extra?: string },
): Promise<RunningBroker> {
  // It gives up root's rights unless it is told not to, and then cannot read a test's folder.
  const settings = `${await Bun.file(join(config, 'mosquitto.conf')).text()}user root\n${extra}`
  await Bun.write(join(config, 'test.conf'), settings)
  const child = Bun.spawn([MOSQUITTO ?? 'mosquitto', '-c', join(config, 'test.conf')], {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: Bun.file(join(config, 'stderr.log')),
  })
  await eventually('mosquitto listens', () => isListening(port))
  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    reload: () => child.kill('SIGHUP'),
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal)
      await child.exited
    },
  }
}

async function isListening(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: { data: () => undefined } })
    socket.end()
    return true
  } catch {
    return false
  }
}
