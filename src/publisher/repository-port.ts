import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../kit/clock.ts'
import { MetadataFolder } from '../trust/metadata-files.ts'
import { DEFAULT_EXPIRY, TufRepository } from '../trust/repository.ts'
import type { KeyFolder } from './key-folder.ts'
import type { RegistryClient } from './registry-client.ts'

/** Where signed metadata goes: a registry that runs, or the folder that one will begin with. */
export interface RepositoryPort {
  read(name: string): Promise<Uint8Array | undefined>
  accept(role: string, bytes: Uint8Array): Promise<void>
  putObject(bytes: Uint8Array): Promise<void>
}

export function remoteRepository(registry: RegistryClient): RepositoryPort {
  return {
    read: (name) => registry.fetchMetadata(name, FILE_BYTES_MAX),
    accept: (role, bytes) => registry.postMetadata(role, bytes),
    putObject: (bytes) => registry.putObject(bytes),
  }
}

const FILE_BYTES_MAX = 1024 * 1024

export function localRepository(folder: KeyFolder, clock: Clock): RepositoryPort {
  const objects = join(folder.path, 'registry/objects')
  const repository = new TufRepository({
    files: new MetadataFolder(join(folder.path, 'registry/tuf')),
    readKeys: () => folder.load(['registry/keys']),
    readObject: async (sha256) => new Uint8Array(await readFile(join(objects, sha256))),
    clock,
    expiry: DEFAULT_EXPIRY,
  })
  return {
    read: (name) => repository.read(name),
    accept: (role, bytes) => repository.accept(role, bytes),
    putObject: (bytes) =>
      folder.write(join(objects, createHash('sha256').update(bytes).digest('hex')), bytes),
  }
}
