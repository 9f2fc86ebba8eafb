import { readFile } from 'node:fs/promises'
import { systemClock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { readSecretFile } from '../publisher/key-folder.ts'
import { RegistryClient } from '../publisher/registry-client.ts'

export interface RegistryPlace {
  readonly registry: string
  readonly apiKeyFile: string | undefined
  /** Of the authority that has signed the registry's certificate, as PEM; undefined: one that this machine knows. */
  readonly caFile: string | undefined
}

/** A registry as the command line names it. */
export async function openRegistryClient(place: RegistryPlace): Promise<RegistryClient> {
  return new RegistryClient({
    url: place.registry,
    apiKey: await readSecretFile(place.apiKeyFile),
    ca: place.caFile === undefined ? undefined : await readAuthority(place.caFile),
    clock: systemClock,
  })
}

async function readAuthority(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new EdgeError('config_invalid', `Cannot read --ca-file "${path}": ${messageOf(cause)}`, { cause })
  })
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  throw new EdgeError('config_invalid', `Cannot use --ca-file "${path}": expected a certificate as PEM`)
}
