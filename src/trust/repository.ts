import { createHash } from 'node:crypto'
import type { Clock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'
import { readDirectors } from './director.ts'
import { listFamily, readFloors } from './family-targets.ts'
import { HighWaterMemory } from './high-water.ts'
import type { SigningKey } from './key.ts'
import { glimpse, METADATA_BOUNDS } from './metadata-bounds.ts'
import { type MetadataFiles, MetadataMemory, roleFile } from './metadata-files.ts'
import { isFamilyName } from './names.ts'
import { requireTrust } from './refusal.ts'
import { type RepositoryState, readSigners, readState } from './repository-state.ts'
import { instant, type MetaFields, signSnapshot, signTimestamp } from './sign-metadata.ts'
import { TrustView } from './view.ts'
import { readSignedTimestamp, TufWorkflow } from './workflow.ts'

export interface RepositoryParts {
  /** The files as they are served: `3.root.json`, `timestamp.json`, and `root.json`, the newest root. */
  readonly files: MetadataFiles
  /**
   * All keys that the registry holds, read anew each time: those are used that the root names, so a new one can lie
   * beside the old one while a rotation is on its way. Root, targets and publishers' keys are never among them.
   */
  readonly readKeys: () => Promise<readonly SigningKey[]>
  readonly readObject: (sha256: string) => Promise<Uint8Array | undefined>
  readonly clock: Clock
  readonly expiry: RepositoryExpiry
}

export interface RepositoryExpiry {
  readonly timestampSeconds: number
  readonly snapshotSeconds: number
}

export const DEFAULT_EXPIRY: RepositoryExpiry = { timestampSeconds: 7 * 86_400, snapshotSeconds: 30 * 86_400 }

/** More versions than are signed between two backups. */
const LEAP_MAX = 10_000

/** Old versions that stay, for clients that are on their way through them. */
const VERSIONS_KEPT = 32

/** The registry's TUF metadata: takes what publishers and the holders of offline keys have signed, and signs the rest. */
export class TufRepository {
  readonly #parts: RepositoryParts
  #leapt = 0
  /** One at a time: each change builds on the snapshot before it. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(parts: RepositoryParts) {
    this.#parts = parts
  }

  /** What is served under this name. */
  read(name: string): Promise<Uint8Array | undefined> {
    return isServed(name) ? this.#parts.files.read(name) : Promise.resolve(undefined)
  }

  /**
   * Takes newly signed metadata of "root", "targets" or a family, if a device would take it, and signs a snapshot and a
   * timestamp that list it. Its version has to be a new one: of two publishers at once, one is told to look again. A
   * family may leave some out, where this registry has forgotten what was signed since its backup.
   */
  accept(role: string, bytes: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      const state = await readState(this.#parts.files)
      const version = requireNewVersion(state, { role, bytes })
      await this.#commit(state, { role, version, bytes })
    })
  }

  /** Signs anew what is half over, or not taken by devices any more; true where it did. */
  resign(): Promise<boolean> {
    return this.#inTurn(async () => {
      const state = await readState(this.#parts.files)
      const isTaken = await this.#try(state, new Map()).then(
        () => true,
        () => false,
      )
      if (isTaken && !this.#isHalfOver(state.timestamp, 'timestampSeconds')) return false
      await this.#commit(state, undefined)
      return true
    })
  }

  /**
   * Signs a timestamp and a snapshot above versions that devices have seen: a registry that was restored from an old copy
   * does not know what it has signed since. True where it did. Somebody may lie about what was seen, and again and again:
   * all leaps together are no more than are signed between two backups.
   */
  resignAbove(seen: { readonly timestamp: number; readonly snapshot: number }): Promise<boolean> {
    return this.#inTurn(async () => {
      const state = await readState(this.#parts.files)
      const leap = Math.max(
        seen.timestamp - state.timestamp.version,
        seen.snapshot - state.snapshot.version,
        0,
      )
      if (this.#leapt + leap > LEAP_MAX || !(await this.#signAbove(state, seen))) return false
      this.#leapt += leap
      return true
    })
  }

  /** The same for a timestamp that this registry has signed itself and forgotten: nobody can lie about that. */
  resignAboveOwn(timestamp: Uint8Array): Promise<boolean> {
    return this.#inTurn(async () => {
      const state = await readState(this.#parts.files)
      return await this.#signAbove(state, readSignedTimestamp(state.rootBytes, timestamp))
    })
  }

  /** As devices see it, for the registry's own lists. */
  async view(): Promise<TrustView> {
    const state = await readState(this.#parts.files)
    const workflow = await this.#try(state, new Map())
    return new TrustView(workflow, {
      directorKeys: [],
      time: { ms: this.#parts.clock.now(), source: 'clock' },
    })
  }

  /** The key that signs assignments and the time: one that devices find in TUF. */
  async directorKey(): Promise<SigningKey> {
    const { files, readKeys, readObject } = this.#parts
    const { director } = await readState(files)
    const bytes = director && (await readObject(director.sha256))
    const ids = director && bytes ? readDirectors(bytes, director).map(({ id }) => id) : []
    return chooseKey('director', { ids, keys: await readKeys() })
  }

  /** False where it is there already. */
  async #signAbove(state: RepositoryState, seen: { timestamp: number; snapshot: number }): Promise<boolean> {
    const { timestamp, snapshot } = state
    if (seen.timestamp <= timestamp.version && seen.snapshot <= snapshot.version) return false
    const above = {
      timestamp: { ...timestamp, version: Math.max(timestamp.version, seen.timestamp) },
      snapshot: { ...snapshot, version: Math.max(snapshot.version, seen.snapshot) },
    }
    await this.#commit({ ...state, ...above }, undefined)
    return true
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work)
    this.#turn = mine.catch(() => undefined)
    return mine
  }

  /** Writes what is new once a device that knows the present state has taken all of it; the timestamp last. */
  async #commit(state: RepositoryState, added: Added | undefined): Promise<void> {
    const { files } = this.#parts
    const fresh = await this.#sign(state, added)
    const workflow = await this.#try(state, fresh)
    if (added !== undefined && isFamilyName(added.role)) {
      const targets = await workflow.loadTargets(added.role, 'targets')
      listFamily(added.role, targets)
      readFloors(targets)
    }
    for (const [name, bytes] of fresh) await files.write(name, bytes)
    for (const name of fresh.keys()) {
      const old = supersededBy(name)
      if (old !== undefined) await files.remove(old)
    }
  }

  /** The way of a device from the present state over what is new. */
  async #try(state: RepositoryState, fresh: ReadonlyMap<string, Uint8Array>): Promise<TufWorkflow> {
    const workflow = new TufWorkflow(state.rootBytes, {
      source: { fetchMetadata: async (name) => fresh.get(name) ?? (await this.read(name)) },
      files: new MetadataMemory(fresh.size === 0 ? [] : state.local),
      highWater: new HighWaterMemory(),
      nowMs: this.#parts.clock.now(),
    })
    await workflow.refresh()
    return workflow
  }

  async #sign(state: RepositoryState, added: Added | undefined): Promise<Map<string, Uint8Array>> {
    const { readKeys, clock, expiry } = this.#parts
    const keys = await readKeys()
    const signers = added?.role === 'root' ? readSigners(added.bytes) : state.signers
    const fresh = new Map<string, Uint8Array>()
    if (added !== undefined) {
      fresh.set(`${added.version}.${roleFile(added.role)}`, added.bytes)
      if (added.role === 'root') fresh.set(roleFile('root'), added.bytes)
    }
    const version = state.snapshot.version + 1
    const listed =
      added === undefined || added.role === 'root' ? {} : { [roleFile(added.role)]: metaOf(added) }
    const snapshot = signSnapshot(
      { version, expires: inSeconds(clock, expiry.snapshotSeconds), meta: { ...state.meta, ...listed } },
      chooseKey('snapshot', { ids: signers.snapshot, keys }),
    )
    fresh.set(`${version}.snapshot.json`, snapshot)
    const timestamp = signTimestamp(
      {
        version: state.timestamp.version + 1,
        expires: inSeconds(clock, expiry.timestampSeconds),
        issued: inSeconds(clock, 0),
        meta: { 'snapshot.json': metaOf({ version, bytes: snapshot }) },
      },
      chooseKey('timestamp', { ids: signers.timestamp, keys }),
    )
    return fresh.set('timestamp.json', timestamp)
  }

  #isHalfOver({ expires }: { expires: string }, lasts: keyof RepositoryExpiry): boolean {
    return Date.parse(expires) - this.#parts.clock.now() < (this.#parts.expiry[lasts] * 1000) / 2
  }
}

interface Added {
  readonly role: string
  readonly version: number
  readonly bytes: Uint8Array
}

function chooseKey(
  role: string,
  { ids, keys }: { ids: readonly string[]; keys: readonly SigningKey[] },
): SigningKey {
  const chosen = keys.find(({ id }) => ids.includes(id))
  if (chosen !== undefined) return chosen
  throw new EdgeError(
    'config_invalid',
    `Cannot sign as ${role}: this registry holds the keys ${keys.map(({ id }) => id.slice(0, 8)).join(', ') || '(none)'}, ` +
      `expected ${ids.map((id) => id.slice(0, 8)).join(' or ') || 'one that is listed'}; copy its file into "keys"`,
  )
}

/** What a snapshot or timestamp says of a file. */
export function metaOf({ version, bytes }: Pick<Added, 'version' | 'bytes'>): MetaFields {
  return {
    version,
    length: bytes.length,
    hashes: { sha256: createHash('sha256').update(bytes).digest('hex') },
  }
}

function requireNewVersion(state: RepositoryState, { role, bytes }: Omit<Added, 'version'>): number {
  const isTop = role === 'root' || role === 'targets'
  requireTrust(
    isTop || (isFamilyName(role) && state.families.has(role)),
    'publisher_not_delegated',
    () => `Cannot publish as "${role}": the targets role delegates no such family`,
  )
  const bytesMax = role === 'root' ? METADATA_BOUNDS.rootBytesMax : METADATA_BOUNDS.targetsBytesMax
  const { version } = glimpse(bytes, { name: role, bytesMax })
  const expected = (role === 'root' ? state.rootVersion : (state.meta[roleFile(role)]?.version ?? 0)) + 1
  const latest = isTop ? expected : expected + LEAP_MAX
  requireTrust(
    version >= expected && version <= latest,
    version < expected ? 'metadata_rolled_back' : 'metadata_fast_forwarded',
    () =>
      `Cannot take the ${role} metadata: its version is ${version}, the next one is ${expected}${isTop ? '' : `, at most ${latest}`}`,
  )
  return version
}

/** Roots stay for ever: a device may have to walk along all of them. */
function supersededBy(name: string): string | undefined {
  const [, version, rest] = /^(\d+)\.(.+)$/.exec(name) ?? []
  if (version === undefined || rest === 'root.json') return undefined
  return `${Number(version) - VERSIONS_KEPT}.${rest}`
}

function isServed(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\.json$/.test(name)
}

function inSeconds(clock: Clock, seconds: number): string {
  return instant(clock.now() + seconds * 1000)
}
