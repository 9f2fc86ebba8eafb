import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { readSigningKey, type SigningKey } from '../trust/key.ts'

const KEYS_MAX = 64

/** The keys that the registry signs with: PEM files that nobody but their owner can read. */
export async function readKeys(folder: string): Promise<SigningKey[]> {
  const names = (await readdir(folder).catch(() => []))
    .filter((name) => name.endsWith('.pem'))
    .slice(0, KEYS_MAX)
  return await Promise.all(names.map((name) => readKey(join(folder, name), name)))
}

async function readKey(path: string, name: string): Promise<SigningKey> {
  const { mode } = await stat(path)
  if ((mode & 0o077) !== 0) {
    throw new EdgeError('config_invalid', `Cannot use the key "${path}": others may read it; chmod 600 it`)
  }
  const pem = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new EdgeError('config_invalid', `Cannot read the key "${path}": ${messageOf(cause)}`, { cause })
  })
  return readSigningKey(pem, { name })
}
