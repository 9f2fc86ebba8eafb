/** The compiled binary as a registry, on ports that the system chooses. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, type Running, startServing } from './binary.ts'

export interface RunningRegistry extends Running {
  readonly mqttUrl: string
  readonly state: string
  /** Asks the API as the first admin. */
  ask(method: string, path: string, body?: unknown): Promise<Response>
}

export async function startRegistry(
  folder: string,
  options: { args?: readonly string[]; port?: number; mqttPort?: number; env?: Record<string, string> } = {},
): Promise<RunningRegistry> {
  await mkdir(folder, { recursive: true })
  const state = join(folder, 'registry')
  const ports = ['--port', String(options.port ?? 0), '--mqtt-port', String(options.mqttPort ?? 0)]
  const running = await startServing(folder, {
    command: [BINARY, 'registry', '--state', state, '--dev-keys', ...ports, ...(options.args ?? [])],
    ready: /registry on (http\S+), MQTT on \S+\n/,
    ...(options.env === undefined ? {} : { env: options.env }),
  })
  const mqttUrl = /MQTT on (\S+)\n/.exec(running.stdout())?.[1] ?? ''
  const key = (await Bun.file(join(state, 'admin.key')).text()).trim()
  return {
    ...running,
    mqttUrl,
    state,
    ask: (method, path, body) =>
      fetch(`${running.url}${path}`, {
        method,
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        ...(body === undefined
          ? {}
          : { body: body instanceof Uint8Array ? Uint8Array.from(body) : JSON.stringify(body) }),
      }),
  }
}

/** A new device, as the registry enrolled it. */
export async function enrolDevice(
  registry: RunningRegistry,
  device: string,
): Promise<{ device: string; secret: string; mqtt: { url: string }; root: unknown }> {
  const { token } = (await (await registry.ask('POST', '/v1/tokens', {})).json()) as { token: string }
  const response = await fetch(`${registry.url}/v1/enrol`, {
    method: 'POST',
    body: JSON.stringify({ token, device, hardware: { architecture: process.arch } }),
  })
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`)
  return (await response.json()) as Awaited<ReturnType<typeof enrolDevice>>
}
