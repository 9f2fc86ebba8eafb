import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { EdgeError } from '../kit/errors.ts'
import type { Random } from '../kit/random.ts'
import { isSameHash, makeSecret, parseSecret } from './secrets.ts'

/** `admin` may do everything and makes the keys; the others may look, and do the one thing they are named after. */
export const ROLES = ['admin', 'publisher', 'operator', 'viewer'] as const
export type Role = (typeof ROLES)[number]

export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly role: Role
  /** Milliseconds since 1970. */
  readonly created: number
  readonly revoked: number | null
}

const PREFIX = 'lk'
const KEYS_MAX = 10_000

/** Keys for people and programs. A key's text is told once; here lies only its hash. */
export class ApiKeys {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random

  constructor(parts: { database: Database; clock: Clock; random: Random }) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#random = parts.random
  }

  create(wanted: { name: string; role: Role }): ApiKey & { readonly text: string } {
    const { key, text, keep } = this.prepare(wanted)
    keep()
    return { ...key, text }
  }

  /** A key that opens nothing until it is kept: time to write its text where it will be found. */
  prepare(wanted: { name: string; role: Role }): { key: ApiKey; text: string; keep: () => void } {
    const { id, text, sha256 } = makeSecret(PREFIX, this.#random)
    const key = { id, ...wanted, created: this.#clock.now(), revoked: null }
    return { key, text, keep: () => this.#keep(key, sha256) }
  }

  #keep(key: ApiKey, sha256: Uint8Array): void {
    transact(this.#database, () => {
      if (this.list().length >= KEYS_MAX) {
        throw new EdgeError('conflict', `Cannot make a key: there are ${KEYS_MAX}, at most ${KEYS_MAX}`)
      }
      this.#database
        .prepare('INSERT INTO api_key (id, name, role, secret_sha256, created) VALUES (?, ?, ?, ?, ?)')
        .run(key.id, key.name, key.role, sha256, key.created)
    })
  }

  /** Whose key this text is; undefined: nobody's, or revoked. */
  find(text: string): ApiKey | undefined {
    const given = parseSecret(PREFIX, text)
    if (given === undefined) return undefined
    const row = this.#database
      .prepare<[string], ApiKey & { secret_sha256: Uint8Array }>('SELECT * FROM api_key WHERE id = ?')
      .get(given.id)
    if (row === undefined || row.revoked !== null) return undefined
    const { secret_sha256, ...key } = row
    return isSameHash(secret_sha256, given.sha256) ? key : undefined
  }

  /** Whether there is such a key, and nobody has revoked it. */
  isActive(id: string): boolean {
    const row = this.#database
      .prepare<[string], { revoked: number | null }>('SELECT revoked FROM api_key WHERE id = ?')
      .get(id)
    return row?.revoked === null
  }

  list(): ApiKey[] {
    return this.#database
      .prepare<[], ApiKey>('SELECT id, name, role, created, revoked FROM api_key ORDER BY created, id')
      .all()
  }

  /** The last admin's key stays: without one nobody could make another. */
  revoke(id: string): void {
    transact(this.#database, () => {
      const key = this.list().find((one) => one.id === id)
      if (key === undefined) throw new EdgeError('not_found', `Cannot revoke key "${id}": there is none`)
      const admins = this.list().filter(({ role, revoked }) => role === 'admin' && revoked === null)
      if (key.role === 'admin' && admins.every((one) => one.id === id)) {
        throw new EdgeError('conflict', `Cannot revoke key "${id}": it is the last of role "admin"`)
      }
      this.#database
        .prepare('UPDATE api_key SET revoked = ? WHERE id = ? AND revoked IS NULL')
        .run(this.#clock.now(), id)
    })
  }
}
