import { readFile } from 'node:fs/promises'
import type { RegistrySettings } from '../../config/registry-settings.ts'
import { EdgeError, messageOf } from '../../kit/errors.ts'

/** The certificates that the settings name, as PEM. */
export async function readTls(
  settings: RegistrySettings,
): Promise<{ readonly ca?: string; readonly cert?: string; readonly key?: string }> {
  const [ca, cert, key] = await Promise.all(
    (['ca_file', 'certificate_file', 'key_file'] as const).map((name) => readPem(name, settings[name])),
  )
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

async function readPem(name: string, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new EdgeError('config_invalid', `Cannot read registry.${name} "${path}": ${messageOf(cause)}`, {
      cause,
    })
  })
}
