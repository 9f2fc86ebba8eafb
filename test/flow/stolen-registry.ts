/** Whoever has taken over a registry: its online keys sign what he likes. Root, targets and publishers' keys he lacks. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { signAssignment } from '../../src/trust/assignment.ts'
import { readSigningKey, type SigningKey } from '../../src/trust/key.ts'
import { readRoot } from '../../src/trust/metadata-fields.ts'
import { metaOf } from '../../src/trust/repository.ts'
import {
  type SnapshotFields,
  signRoot,
  signSnapshot,
  signTimestamp,
  type TimestampFields,
} from '../../src/trust/sign-metadata.ts'
import { newKey } from '../trust/tuf-simulator.ts'

export class StolenRegistry {
  readonly #state: string

  /** `state` is the registry's folder. */
  constructor(state: string) {
    this.#state = state
  }

  async timestamp(change: (fields: TimestampFields) => Partial<TimestampFields>): Promise<Uint8Array> {
    const fields = await this.#signed<TimestampFields>('timestamp.json')
    return signTimestamp({ ...fields, ...change(fields) }, await this.#key('timestamp'))
  }

  /** What a family's file in the place of the real one takes: metadata by name, all of it in step. */
  async family(
    family: string,
    forged: { version: number; bytes: Uint8Array },
  ): Promise<Map<string, Uint8Array>> {
    const timestamp = await this.#signed<TimestampFields>('timestamp.json')
    const before = timestamp.meta['snapshot.json']?.version ?? 0
    const fields = await this.#signed<SnapshotFields>(`${before}.snapshot.json`)
    const version = before + 1
    const meta = { ...fields.meta, [`${family}.json`]: metaOf(forged) }
    const snapshot = signSnapshot({ ...fields, version, meta }, await this.#key('snapshot'))
    return new Map([
      [`${forged.version}.${family}.json`, forged.bytes],
      [`${version}.snapshot.json`, snapshot],
      [
        'timestamp.json',
        await this.timestamp((old) => ({
          version: old.version + 1,
          meta: { 'snapshot.json': metaOf({ version, bytes: snapshot }) },
        })),
      ],
    ])
  }

  /** A next root with a root key of his own. */
  async root(): Promise<{ name: string; bytes: Uint8Array }> {
    const root = readRoot(await Bun.file(join(this.#state, 'tuf/root.json')).bytes())
    const key = newKey()
    const version = root.version + 1
    const fields = {
      ...root,
      version,
      keys: { ...root.keys, [key.id]: key.json },
      roles: { ...root.roles, root: { keyids: [key.id], threshold: 1 } },
    }
    return { name: `${version}.root.json`, bytes: signRoot(fields, [key]) }
  }

  async assignment(
    payload: Omit<Parameters<typeof signAssignment>[0], 'issued' | 'keep'>,
  ): Promise<Uint8Array> {
    const issued = new Date().toISOString()
    return signAssignment({ ...payload, issued, keep: [] }, await this.#key('director'))
  }

  async #signed<Fields>(name: string): Promise<Fields> {
    const { signed } = (await Bun.file(join(this.#state, 'tuf', name)).json()) as { signed: Fields }
    return signed
  }

  async #key(role: string): Promise<SigningKey> {
    const folder = join(this.#state, 'keys')
    const name = (await readdir(folder)).find((one) => one.startsWith(`${role}-`)) ?? ''
    return readSigningKey(await Bun.file(join(folder, name)).text(), { name })
  }
}
