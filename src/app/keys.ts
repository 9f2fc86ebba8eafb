import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { initKeys } from '../publisher/ceremony.ts'
import { KeyChanges } from '../publisher/key-changes.ts'
import { KeyFolder, readSecretFile } from '../publisher/key-folder.ts'
import { localRepository, remoteRepository } from '../publisher/repository-port.ts'
import { TrustedReader } from '../publisher/trusted-reader.ts'
import { MetadataFolder } from '../trust/metadata-files.ts'
import { openRegistryClient } from './registry-client.ts'

type Print = (line: string) => void

export interface InitOptions {
  readonly out: string
  readonly family: readonly string[]
  readonly rootKeys: number
  readonly rootThreshold: number
  readonly passphraseFile: string | undefined
}

/** `limpet keys init` */
export async function runKeysInit(options: InitOptions, print: Print): Promise<void> {
  await initKeys({
    out: options.out,
    families: options.family,
    rootKeys: options.rootKeys,
    rootThreshold: options.rootThreshold,
    passphrase: await readSecretFile(options.passphraseFile),
    nowMs: systemClock.now(),
    print,
  })
}

export interface KeyChangeOptions {
  readonly dir: string
  readonly key: readonly string[]
  readonly passphraseFile: string | undefined
  /** Undefined: the folder that a registry will begin with is changed. */
  readonly registry: string | undefined
  readonly apiKeyFile: string | undefined
  readonly caFile: string | undefined
}

export type KeyChange =
  | { readonly do: 'rotate' | 'renew'; readonly what: string }
  | { readonly do: 'add-publisher'; readonly family: string }
  | { readonly do: 'sign-root' }

/** `limpet keys rotate`, `renew`, `add-publisher`, `sign-root` */
export async function runKeyChange(
  change: KeyChange,
  options: KeyChangeOptions,
  print: Print,
): Promise<void> {
  const folder = new KeyFolder(options.dir, await readSecretFile(options.passphraseFile))
  const repository =
    options.registry === undefined
      ? localRepository(folder, systemClock)
      : remoteRepository(await openRegistryClient({ ...options, registry: options.registry }))
  const trusted = new TrustedReader({
    read: (name) => repository.read(name),
    files: new MetadataFolder(join(options.dir, 'trusted')),
    firstRoot: await readRootFile(join(options.dir, 'root.json')),
  })
  const changes = new KeyChanges({
    folder,
    repository,
    trusted,
    clock: systemClock,
    keyFiles: options.key,
    print,
  })
  switch (change.do) {
    case 'rotate':
      return await changes.rotate(change.what)
    case 'renew':
      return await changes.renew(change.what)
    case 'add-publisher':
      return await changes.addPublisher(change.family)
    case 'sign-root':
      return await changes.signRoot()
  }
}

async function readRootFile(path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path))
  } catch (cause) {
    throw new EdgeError(
      'config_invalid',
      `Cannot read "${path}": ${messageOf(cause)}; "limpet keys init" makes it`,
      {
        cause,
      },
    )
  }
}
