import { pbkdf2Sync } from 'node:crypto'
import type { Random } from '../kit/random.ts'
import type { Topics } from '../link/topics.ts'

/** As `mosquitto_passwd` does it. Few rounds are enough: what is hashed is 256 random bits, not a word of somebody's. */
const ROUNDS = 101
const SALT_BYTES = 12
const HASH_BYTES = 64

/** What stands in Mosquitto's password file for a secret, without the name. */
export function mosquittoHash(secret: string, random: Random): string {
  const salt = random.bytes(SALT_BYTES)
  const hash = pbkdf2Sync(secret, salt, ROUNDS, HASH_BYTES, 'sha512')
  return `$7$${ROUNDS}$${salt.toBase64()}$${hash.toString('base64')}`
}

/** What devices may do, and the registry. `%u` is the user name, which the settings make the client id as well. */
export function mosquittoAcl(topics: Topics, registry: string): string {
  const { prefix } = topics
  return lines(
    `user ${registry}`,
    `topic readwrite ${prefix}/#`,
    '',
    '# Every device: hears what is said to it and to all, speaks under its own name.',
    `pattern read ${prefix}/d/%u/#`,
    `pattern read ${prefix}/r/#`,
    `pattern write ${prefix}/u/%u/#`,
  )
}

export function mosquittoSettings(at: { folder: string; host: string; port: number }): string {
  return lines(
    `listener ${at.port} ${at.host}`,
    'allow_anonymous false',
    `password_file ${at.folder}/passwords`,
    `acl_file ${at.folder}/acl`,
    '# Without this a device could come under the client id of another and throw it off.',
    'use_username_as_clientid true',
    '# Beyond these the broker drops without a word what the registry has not read yet, heartbeats too. When the registry',
    '# comes, it gets the last word of every device at once: room for a hundred thousand. A device has a window of frames.',
    'max_queued_messages 100000',
    'max_queued_bytes 268435456',
    '# Under way to one client: what a registry takes together it writes together.',
    'max_inflight_messages 1000',
    '# For devices elsewhere, certificates: certfile, keyfile, and cafile with require_certificate true.',
  )
}

export function mosquittoPasswords(hashes: ReadonlyMap<string, string>): string {
  return lines(...[...hashes].map(([name, hash]) => `${name}:${hash}`))
}

function lines(...all: string[]): string {
  return `${all.join('\n')}\n`
}
