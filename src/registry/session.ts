import { createHash } from 'node:crypto'
import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import type { Random } from '../kit/random.ts'
import type { ApiKey } from './api-keys.ts'
import { isSameHash, makeSecret, parseSecret } from './secrets.ts'

/** A browser that has shown a key once. */
export interface Session {
  readonly id: string
  readonly key: ApiKey
  /** Milliseconds since 1970. */
  readonly expires: number
  /** What a change has to bring along: a page of another site has the browser send the cookie, but cannot read this. */
  readonly csrf: string
}

const PREFIX = 'ls'
/** Of one key; the oldest go. */
const SESSIONS_MAX = 20

/** Sessions of the console. Each is worth what its key is, ends with it, and only its hash is kept. */
export class Sessions {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random

  constructor(parts: { database: Database; clock: Clock; random: Random }) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#random = parts.random
  }

  open(key: ApiKey, { seconds }: { seconds: number }): Session & { readonly text: string } {
    const { id, text, sha256 } = makeSecret(PREFIX, this.#random)
    const created = this.#clock.now()
    const expires = created + seconds * 1000
    transact(this.#database, () => {
      this.#database.prepare('DELETE FROM session WHERE expires <= ?').run(created)
      this.#database
        .prepare('INSERT INTO session (id, secret_sha256, key_id, created, expires) VALUES (?, ?, ?, ?, ?)')
        .run(id, sha256, key.id, created, expires)
      this.#database
        .prepare(
          `DELETE FROM session WHERE key_id = @key AND id NOT IN
             (SELECT id FROM session WHERE key_id = @key ORDER BY created DESC, rowid DESC LIMIT @most)`,
        )
        .run({ key: key.id, most: SESSIONS_MAX })
    })
    return { id, key, expires, csrf: csrfOf(text), text }
  }

  /** Undefined: there is none, or it is over, or its key is revoked. */
  find(text: string): Session | undefined {
    const given = parseSecret(PREFIX, text)
    if (given === undefined) return undefined
    const found = this.#find(given.id)
    if (found === undefined || !isSameHash(found.secret_sha256, given.sha256)) return undefined
    const { secret_sha256: _, expires, key_id, ...key } = found
    return { id: given.id, key: { ...key, id: key_id }, expires, csrf: csrfOf(text) }
  }

  isOpen(id: string): boolean {
    return this.#find(id) !== undefined
  }

  #find(id: string): Row | undefined {
    return this.#database
      .prepare<[string, number], Row>(
        `SELECT session.secret_sha256, session.expires, session.key_id,
           api_key.name, api_key.role, api_key.created, api_key.revoked
         FROM session JOIN api_key ON api_key.id = session.key_id
         WHERE session.id = ? AND session.expires > ? AND api_key.revoked IS NULL`,
      )
      .get(id, this.#clock.now())
  }

  close(id: string): void {
    transact(this.#database, () => this.#database.prepare('DELETE FROM session WHERE id = ?').run(id))
  }
}

interface Row extends Omit<ApiKey, 'id'> {
  readonly secret_sha256: Uint8Array
  readonly expires: number
  readonly key_id: string
}

/** Follows from the cookie, so that nothing more has to be kept; the cookie does not follow from it. */
function csrfOf(text: string): string {
  return createHash('sha256').update(`csrf ${text}`).digest('hex')
}
