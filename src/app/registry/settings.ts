import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RegistryConfig } from '../../config/registry-config.ts'
import { EdgeError, messageOf } from '../../kit/errors.ts'
import type { Tls } from '../../link/line.ts'
import { BROKER_PASSWORD } from '../broker-config.ts'

export interface RegistryOptions {
  readonly state: string | undefined
  readonly host: string | undefined
  readonly port: number | undefined
  readonly mqttPort: number | undefined
  readonly broker: string | undefined
  readonly config: string | undefined
  readonly devKeys: boolean
}

/** What the command line says goes before the file. */
export function applyOptions(
  config: RegistryConfig,
  { host, port, mqttPort, broker }: RegistryOptions,
): RegistryConfig {
  return {
    ...config,
    http: { ...config.http, ...(host !== undefined && { host }), ...(port !== undefined && { port }) },
    mqtt: {
      ...config.mqtt,
      ...(mqttPort !== undefined && { port: mqttPort }),
      ...(broker !== undefined && { broker }),
    },
  }
}

/** Of the registry at another broker: from the config's file, or from the one that `broker-config` has made. */
export async function readPassword(file: string | undefined, folder: string): Promise<string | undefined> {
  if (file !== undefined) return (await readSetting(file)).trim()
  return await readFile(join(folder, BROKER_PASSWORD), 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  )
}

export async function readTls({ ca_file, cert_file, key_file }: RegistryConfig['mqtt']): Promise<Tls> {
  return {
    ...(ca_file !== undefined && { ca: await readSetting(ca_file) }),
    ...(cert_file !== undefined && { cert: await readSetting(cert_file) }),
    ...(key_file !== undefined && { key: await readSetting(key_file) }),
  }
}

export async function readHttpTls({
  cert_file,
  key_file,
}: RegistryConfig['http']): Promise<{ tls?: { cert: string; key: string } }> {
  if (cert_file === undefined || key_file === undefined) return {}
  return { tls: { cert: await readSetting(cert_file), key: await readSetting(key_file) } }
}

export async function readSetting(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new EdgeError('config_invalid', `Cannot read "${path}": ${messageOf(cause)}`, { cause })
  })
}
