import { EdgeError } from '../kit/errors.ts'
import { signAssignment } from '../trust/assignment.ts'
import type { SigningKey } from '../trust/key.ts'
import type { TufRepository } from '../trust/repository.ts'
import { signTime } from '../trust/signed-time.ts'
import type { AssignmentPayload } from './assignments.ts'

/** Signs what devices should run and what time it is, with the key that they find in TUF. */
export class Director {
  readonly #repository: TufRepository
  #key: SigningKey | undefined

  constructor(repository: TufRepository) {
    this.#repository = repository
  }

  /** At the start, and when metadata has changed: the key may be another one now. */
  async readKey(): Promise<void> {
    this.#key = await this.#repository.directorKey()
  }

  signAssignment(payload: AssignmentPayload): Uint8Array {
    return signAssignment(payload, this.#present)
  }

  signTime(answer: { nonce: string; timeMs: number }): Uint8Array {
    return signTime(answer, this.#present)
  }

  get #present(): SigningKey {
    if (this.#key !== undefined) return this.#key
    throw new EdgeError('config_invalid', "Cannot sign: the director's key has not been read")
  }
}
