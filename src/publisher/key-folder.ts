import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { makeFolderDurably, writeDurably } from '../kit/durable-file.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { generateKeyPem, readSigningKey, type SigningKey } from '../trust/key.ts'

/**
 * The folder of a key ceremony:
 *
 *   offline/     root and targets keys: to be taken off the network
 *   publishers/  one key for each model family: for whoever publishes it
 *   registry/    the state folder that a registry begins with: its keys, metadata and objects
 *   root.json    where a device's trust begins
 */
export type KeyPlace = 'offline' | 'publishers' | 'registry/keys'

const FILES_MAX = 256
const FILE_BYTES_MAX = 16 * 1024

export class KeyFolder {
  readonly path: string
  readonly #passphrase: string | undefined

  constructor(path: string, passphrase: string | undefined) {
    this.path = path
    this.#passphrase = passphrase
  }

  /** A new key, in a file of its own that only its owner can read. The registry's are not encrypted: it starts alone. */
  async create(place: KeyPlace, name: string): Promise<{ readonly key: SigningKey; readonly file: string }> {
    const passphrase = place === 'registry/keys' ? undefined : this.#passphrase
    const pem = generateKeyPem(passphrase)
    const key = readSigningKey(pem, { name, passphrase })
    const file = join(this.path, place, `${name}-${key.id.slice(0, 8)}.pem`)
    await this.write(file, Buffer.from(pem), 0o600)
    return { key, file }
  }

  /** The keys in these places, and in files named one by one. */
  async load(places: readonly KeyPlace[], files: readonly string[] = []): Promise<SigningKey[]> {
    const found = await Promise.all(places.map((place) => listPems(join(this.path, place))))
    return await Promise.all([...found.flat(), ...files].map((file) => this.#read(file)))
  }

  async write(file: string, bytes: Uint8Array, mode = 0o644): Promise<void> {
    try {
      await makeFolderDurably(join(file, '..'), 0o700)
      await writeDurably(file, bytes, mode)
    } catch (cause) {
      throw new EdgeError('storage_failed', `Cannot write "${file}": ${messageOf(cause)}`, { cause })
    }
  }

  async #read(file: string): Promise<SigningKey> {
    return await readKeyFile(file, this.#passphrase)
  }
}

export async function readKeyFile(file: string, passphrase: string | undefined): Promise<SigningKey> {
  return readSigningKey(await readSmallFile(file), { name: basename(file), passphrase })
}

/** The first line of a file, for `--passphrase-file` and `--api-key-file`: no secret stands on a command line. */
export async function readSecretFile(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined
  const secret = (await readSmallFile(file)).split('\n')[0]?.trim() ?? ''
  if (secret !== '') return secret
  throw new EdgeError('config_invalid', `Cannot use "${file}": its first line is empty`)
}

async function readSmallFile(file: string): Promise<string> {
  try {
    const { size } = await stat(file)
    if (size > FILE_BYTES_MAX) throw new RangeError(`it has ${size} bytes, at most ${FILE_BYTES_MAX}`)
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new EdgeError('config_invalid', `Cannot read "${file}": ${messageOf(cause)}`, { cause })
  }
}

async function listPems(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [])
  return names
    .filter((name) => name.endsWith('.pem'))
    .slice(0, FILES_MAX)
    .map((name) => join(folder, name))
}
