import type { Clock } from '../kit/clock.ts'
import { type Database, transact } from '../kit/database.ts'
import { EdgeError } from '../kit/errors.ts'
import type { Random } from '../kit/random.ts'
import type { Devices } from './devices.ts'
import { hashSecret, isSameHash, makeSecret, parseSecret } from './secrets.ts'

export interface Token {
  /** Told once. */
  readonly token: string
  readonly id: string
  /** Milliseconds since 1970. */
  readonly expires: number
}

const PREFIX = 'le'
const TOKENS_MAX = 100_000

/** One-time tokens, each worth one device's credential. A token's text is neither kept nor logged. */
export class Enrolment {
  readonly #database: Database
  readonly #devices: Devices
  readonly #clock: Clock
  readonly #random: Random

  constructor(parts: { database: Database; devices: Devices; clock: Clock; random: Random }) {
    this.#database = parts.database
    this.#devices = parts.devices
    this.#clock = parts.clock
    this.#random = parts.random
  }

  createToken(wanted: { device: string | undefined; seconds: number }): Token {
    const { id, text, sha256 } = makeSecret(PREFIX, this.#random)
    const created = this.#clock.now()
    const expires = created + wanted.seconds * 1000
    transact(this.#database, () => {
      // What is past says nothing any more.
      this.#database.prepare('DELETE FROM enrolment_token WHERE expires < ?').run(created)
      this.#refuseFlood()
      this.#database
        .prepare(
          'INSERT INTO enrolment_token (id, secret_sha256, device, created, expires) VALUES (?, ?, ?, ?, ?)',
        )
        .run(id, sha256, wanted.device ?? null, created, expires)
    })
    return { token: text, id, expires }
  }

  #refuseFlood(): void {
    const { count } = this.#database
      .prepare<[], { count: number }>('SELECT count(*) AS count FROM enrolment_token WHERE used IS NULL')
      .get() ?? { count: 0 }
    if (count < TOKENS_MAX) return
    throw new EdgeError('conflict', `Cannot make a token: ${count} are unused, at most ${TOKENS_MAX}`)
  }

  /**
   * A credential for the token: both in one transaction, so that a token is worth one, whoever asks how often. Who has
   * been cut off from the answer asks again with the same claim, a secret of his own, and gets another for the same device.
   */
  exchange(given: {
    token: string
    device: string | undefined
    hardware: unknown
    claim?: string | undefined
  }): {
    device: string
    secret: string
  } {
    const claim = given.claim === undefined ? undefined : hashSecret(given.claim)
    return transact(this.#database, () => {
      const token = this.#findToken(given.token, claim)
      if (token.enrolled !== null)
        return { device: token.enrolled, secret: this.#devices.enrol(token.enrolled, given.hardware) }
      const device = chooseDevice(token.device, given.device, this.#random)
      if (this.#devices.has(device) && token.device !== device) {
        throw new EdgeError(
          'conflict',
          `Cannot enrol "${device}": there is such a device; to enrol it again, use a token made for it`,
        )
      }
      this.#database
        .prepare('UPDATE enrolment_token SET used = ?, claim_sha256 = ?, enrolled = ? WHERE id = ?')
        .run(this.#clock.now(), claim ?? null, device, token.id)
      return { device, secret: this.#devices.enrol(device, given.hardware) }
    })
  }

  /** All that can be wrong with a token gets one answer: who guesses learns nothing. */
  #findToken(
    text: string,
    claim: Uint8Array | undefined,
  ): { id: string; device: string | null; enrolled: string | null } {
    const given = parseSecret(PREFIX, text)
    const row =
      given === undefined
        ? undefined
        : this.#database
            .prepare<[string], TokenRow>('SELECT * FROM enrolment_token WHERE id = ?')
            .get(given.id)
    const isGood =
      row !== undefined &&
      given !== undefined &&
      isSameHash(row.secret_sha256, given.sha256) &&
      (row.used === null || isClaimedBy(row, claim)) &&
      row.expires > this.#clock.now()
    if (isGood) return row
    throw new EdgeError(
      'unauthorized',
      'Cannot enrol: the token is unknown, used or expired; ask an operator for a new one',
    )
  }
}

function isClaimedBy({ claim_sha256: before, enrolled }: TokenRow, claim: Uint8Array | undefined): boolean {
  return claim !== undefined && before !== null && enrolled !== null && isSameHash(before, claim)
}

interface TokenRow {
  readonly id: string
  readonly secret_sha256: Uint8Array
  readonly device: string | null
  readonly expires: number
  readonly used: number | null
  readonly claim_sha256: Uint8Array | null
  readonly enrolled: string | null
}

function chooseDevice(bound: string | null, wished: string | undefined, random: Random): string {
  if (bound !== null && wished !== undefined && wished !== bound) {
    throw new EdgeError('conflict', `Cannot enrol "${wished}": the token was made for "${bound}"`)
  }
  return bound ?? wished ?? `device-${random.bytes(6).toHex()}`
}
