import { createHash } from 'node:crypto'
import type { Metadata, TargetFile, Targets } from '@tufjs/models'
import { EqualVersionError } from 'tuf-js/dist/error'
import { TrustedMetadataStore } from 'tuf-js/dist/store'
import { present } from '../kit/assert.ts'
import { messageOf } from '../kit/errors.ts'
import { encodeCanonical } from './canonical-json.ts'
import type { HighWater } from './high-water.ts'
import { type Glimpse, glimpse, METADATA_BOUNDS } from './metadata-bounds.ts'
import { type MetadataFiles, roleFile, rootHistoryFile } from './metadata-files.ts'
import { type RefusalReason, requireTrust, TrustRefusal } from './refusal.ts'
import { type Judged, refusalOf } from './tuf-errors.ts'

/** Where new metadata comes from. Undefined: it does not have that file. Anything thrown: it cannot be asked now. */
export interface MetadataSource {
  fetchMetadata(name: string, bytesMax: number): Promise<Uint8Array | undefined>
}

export interface WorkflowParts {
  /** Undefined: only what is on disk, as long as it has not expired. */
  readonly source: MetadataSource | undefined
  readonly files: MetadataFiles
  readonly highWater: HighWater
  /** The one time by which all of it is judged (specification 5.1). */
  readonly nowMs: number
}

/**
 * The client workflow of the TUF specification (1.0.34, section 5), once through: a new one for each update.
 *
 *   root ─► timestamp ─► snapshot ─► targets ─► delegated roles, as they are asked for
 *
 * What may be accepted is decided by tuf-js' store of trusted metadata. Its updater is not used: it reads the clock
 * itself, writes files that a power cut can tear, and forgets versions when they are torn.
 */
export class TufWorkflow {
  readonly #parts: WorkflowParts
  readonly #store: TrustedMetadataStore
  readonly #targets = new Map<string, Metadata<Targets>>()

  constructor(root: Uint8Array, parts: WorkflowParts) {
    this.#parts = parts
    this.#store = openStore(root)
    Object.assign(this.#store, { referenceTime: new Date(parts.nowMs) })
  }

  get root() {
    return this.#store.root.signed
  }

  get timestamp() {
    return present(this.#store.timestamp, 'the workflow has come past timestamp').signed
  }

  get snapshot() {
    return present(this.#store.snapshot, 'the workflow has come past snapshot').signed
  }

  get topTargets(): Targets {
    return present(this.#targets.get('targets'), 'the workflow has come past targets').signed
  }

  async refresh(): Promise<void> {
    await this.#updateRoot()
    await this.#updateTimestamp()
    await this.#updateSnapshot()
    await this.loadTargets('targets', 'root')
  }

  /** The most trusted role that lists the path (5.6.7): a walk before all children, cut off by a terminating role. */
  async find(path: string): Promise<TargetFile | undefined> {
    const visited = new Set<string>()
    let toVisit: { readonly role: string; readonly delegator: string }[] = [
      { role: 'targets', delegator: 'root' },
    ]
    for (let next = toVisit.pop(); next !== undefined; next = toVisit.pop()) {
      const { role, delegator } = next
      if (visited.has(role)) continue
      if (visited.size > METADATA_BOUNDS.delegationsMax) return undefined
      visited.add(role)
      const { targets, delegations } = await this.loadTargets(role, delegator)
      if (Object.hasOwn(targets, path)) return targets[path]
      const children: typeof toVisit = []
      for (const child of delegations?.rolesForTarget(path) ?? []) {
        children.push({ role: child.role, delegator: role })
        if (!child.terminating) continue
        toVisit = []
        break
      }
      toVisit.push(...children.reverse())
    }
    return undefined
  }

  /** A role of targets, verified by whoever delegates to it. */
  async loadTargets(role: string, delegator: string): Promise<Targets> {
    const listed = this.snapshot.meta[`${role}.json`]
    if (listed === undefined || role in {}) {
      throw new TrustRefusal(
        'metadata_missing',
        `Cannot take the ${role} metadata: the snapshot does not list it`,
      )
    }
    const known = this.#targets.get(role)
    const from = { role, delegator, promised: listed.version }
    if (known !== undefined) {
      const signers = Object.keys(known.signatures)
      this.#judge(this.#judged({ version: known.signed.version, signers }, from), () =>
        this.#delegatorOf(delegator).verifyDelegate(role, known),
      )
      return known.signed
    }
    await this.#updateTargets(from, listed.length ?? METADATA_BOUNDS.targetsBytesMax)
    return present(this.#targets.get(role), `the ${role} metadata was accepted`).signed
  }

  /** 5.3: each root leads to the next, and the last one counts. */
  async #updateRoot(): Promise<void> {
    const { files, highWater } = this.#parts
    for (let count = 0; count < METADATA_BOUNDS.rootRotationsMax; count += 1) {
      const next = this.root.version + 1
      const bytes = await this.#parts.source?.fetchMetadata(`${next}.root.json`, METADATA_BOUNDS.rootBytesMax)
      if (bytes === undefined) break
      const seen = glimpse(bytes, { name: `${next}.root.json`, bytesMax: METADATA_BOUNDS.rootBytesMax })
      this.#judge({ role: 'root', kind: 'root', glimpse: seen, keyIds: [], promised: next }, () =>
        this.#store.updateRoot(Buffer.from(bytes)),
      )
      await files.write(rootHistoryFile(next), bytes)
      await files.write(roleFile('root'), bytes)
    }
    this.#requireNotOlder('root', this.root.version)
    highWater.enterRoot({ version: this.root.version, onlineKeys: onlineKeysOf(this.root) })
  }

  /** 5.4 */
  async #updateTimestamp(): Promise<void> {
    const { source, files, highWater } = this.#parts
    const local = await files.read(roleFile('timestamp'))
    const isLocal =
      local !== undefined && this.#acceptLocal(() => this.#store.updateTimestamp(Buffer.from(local)))
    const bytes = await this.#fetchTimestamp(source, isLocal)
    if (bytes !== undefined && this.#acceptTimestamp(bytes)) {
      this.#requireInStep('timestamp', this.timestamp.version)
      this.#requireInStep('snapshot', this.timestamp.snapshotMeta.version)
      await files.write(roleFile('timestamp'), bytes)
    }
    this.#requireInStep('timestamp', this.timestamp.version)
    this.#requireInStep('snapshot', this.timestamp.snapshotMeta.version)
    highWater.raise(new Map([['timestamp', this.timestamp.version]]))
  }

  async #fetchTimestamp(
    source: MetadataSource | undefined,
    isLocal: boolean,
  ): Promise<Uint8Array | undefined> {
    if (source === undefined && isLocal) return undefined
    requireTrust(
      source !== undefined || this.#store.timestamp === undefined,
      'metadata_expired',
      () => 'Cannot use the metadata on this device: it has expired',
    )
    return await this.#fetch('timestamp.json', METADATA_BOUNDS.timestampBytesMax)
  }

  /** False where it is the one we have: that one stays, whatever the other says beside its version. */
  #acceptTimestamp(bytes: Uint8Array): boolean {
    const seen = glimpse(bytes, { name: 'timestamp.json', bytesMax: METADATA_BOUNDS.timestampBytesMax })
    const judged = this.#judged(seen, { role: 'timestamp', delegator: 'root', promised: undefined })
    try {
      this.#judge(judged, () => this.#store.updateTimestamp(Buffer.from(bytes)))
      return true
    } catch (error) {
      if (error instanceof TrustRefusal && error.cause instanceof EqualVersionError) return false
      throw error
    }
  }

  /** 5.5 */
  async #updateSnapshot(): Promise<void> {
    const { files, highWater } = this.#parts
    const local = await files.read(roleFile('snapshot'))
    const isCurrent =
      local !== undefined && this.#acceptLocal(() => this.#store.updateSnapshot(Buffer.from(local), true))
    const fetched = isCurrent ? undefined : await this.#fetchSnapshot()
    this.#requireSnapshotInStep()
    if (fetched !== undefined) await files.write(roleFile('snapshot'), fetched)
    highWater.raise(new Map([['snapshot', this.snapshot.version], ...this.#listedVersions()]))
  }

  async #fetchSnapshot(): Promise<Uint8Array> {
    const { version, length } = this.timestamp.snapshotMeta
    const bytesMax = Math.min(length ?? Number.POSITIVE_INFINITY, METADATA_BOUNDS.snapshotBytesMax)
    const bytes = await this.#fetch(this.#remoteName('snapshot', version), bytesMax)
    const seen = glimpse(bytes, { name: 'snapshot', bytesMax: METADATA_BOUNDS.snapshotBytesMax })
    this.#judge(this.#judged(seen, { role: 'snapshot', delegator: 'root', promised: version }), () =>
      this.#store.updateSnapshot(Buffer.from(bytes)),
    )
    return bytes
  }

  async #updateTargets(from: Judgement, bytesMax: number): Promise<void> {
    const { files } = this.#parts
    const { role, delegator } = from
    const accept = (content: Uint8Array) => {
      this.#store.updateDelegatedTargets(Buffer.from(content), role, delegator)
      this.#targets.set(role, present(this.#store.getRole(role), `tuf-js has kept ${role}`))
    }
    const local = await files.read(roleFile(role))
    const isCurrent =
      local !== undefined &&
      this.#acceptLocal(() => {
        glimpse(local, { name: role, bytesMax: METADATA_BOUNDS.targetsBytesMax })
        accept(local)
      })
    if (isCurrent) return
    const bytes = await this.#fetch(
      this.#remoteName(role, from.promised),
      Math.min(bytesMax, METADATA_BOUNDS.targetsBytesMax),
    )
    const seen = glimpse(bytes, { name: role, bytesMax: METADATA_BOUNDS.targetsBytesMax })
    this.#judge(this.#judged(seen, from), () => accept(bytes))
    await files.write(roleFile(role), bytes)
  }

  #remoteName(role: string, version: number | undefined): string {
    return this.root.consistentSnapshot && version !== undefined
      ? `${version}.${roleFile(role)}`
      : roleFile(role)
  }

  async #fetch(name: string, bytesMax: number): Promise<Uint8Array> {
    const bytes = await this.#parts.source?.fetchMetadata(name, bytesMax)
    if (bytes !== undefined) return bytes
    const where = this.#parts.source === undefined ? 'on this device' : 'at the registry'
    throw new TrustRefusal('metadata_missing', `Cannot update metadata: there is no valid "${name}" ${where}`)
  }

  /** What is on disk may be torn, expired or of another root: then it is only as good as none. */
  #acceptLocal(accept: () => unknown): boolean {
    try {
      accept()
      return true
    } catch {
      return false
    }
  }

  #judge(judged: Judged, accept: () => unknown): void {
    try {
      accept()
    } catch (error) {
      throw refusalOf(error, judged)
    }
  }

  #judged(seen: Glimpse, { role, delegator, promised }: Judgement): Judged {
    const kind = role === 'timestamp' || role === 'snapshot' || role === 'targets' ? role : 'delegated'
    const keyIds =
      delegator === 'root'
        ? this.root.roles[role]?.keyIDs
        : this.#targets.get(delegator)?.signed.delegations?.roles?.[role]?.keyIDs
    return { role, kind, glimpse: seen, keyIds: keyIds ?? [], promised }
  }

  #delegatorOf(name: string) {
    if (name === 'root') return this.#store.root
    return present(this.#targets.get(name), `${name} was loaded before what it delegates to`)
  }

  #listedVersions(): [string, number][] {
    return Object.entries(this.snapshot.meta).map(([file, { version }]) => [
      file.replace(/\.json$/, ''),
      version,
    ])
  }

  /** What was seen before may not come back lower, or not at all, whatever became of the files. */
  #requireSnapshotInStep(): void {
    const listed = new Map(this.#listedVersions())
    for (const [role, version] of listed) this.#requireInStep(role, version)
    const missing = this.#parts.highWater.targetsRoles().filter((role) => !listed.has(role))
    requireTrust(
      missing.length === 0,
      'metadata_rolled_back',
      () =>
        `Cannot take the snapshot metadata: it leaves out "${missing.join('", "')}", which was listed before`,
    )
  }

  #requireInStep(role: string, version: number): void {
    this.#requireNotOlder(role, version)
    const seen = this.#parts.highWater.versionOf(role)
    requireTrust(
      seen === undefined || version - seen <= METADATA_BOUNDS.versionStepMax,
      'metadata_fast_forwarded',
      () =>
        describeVersion(
          role,
          version,
          `seen was ${seen}, at most ${METADATA_BOUNDS.versionStepMax} more can be`,
        ),
    )
  }

  #requireNotOlder(role: string, version: number): void {
    const seen = this.#parts.highWater.versionOf(role) ?? 0
    const reason: RefusalReason = 'metadata_rolled_back'
    requireTrust(version >= seen, reason, () => describeVersion(role, version, `${seen} was seen before`))
  }
}

/** Whether trust can begin with these bytes: a root that its own keys have signed. */
export function isUsableRoot(bytes: Uint8Array): boolean {
  try {
    openStore(bytes)
    return true
  } catch {
    return false
  }
}

/** What a timestamp says, where one of the keys that the root names for it has signed it, however long ago. */
export function readSignedTimestamp(
  root: Uint8Array,
  bytes: Uint8Array,
): { readonly timestamp: number; readonly snapshot: number } {
  const seen = glimpse(bytes, { name: 'timestamp.json', bytesMax: METADATA_BOUNDS.timestampBytesMax })
  const store = openStore(root)
  Object.assign(store, { referenceTime: new Date(0) })
  const keyIds = store.root.signed.roles['timestamp']?.keyIDs ?? []
  try {
    const { signed } = store.updateTimestamp(Buffer.from(bytes))
    return { timestamp: signed.version, snapshot: signed.snapshotMeta.version }
  } catch (error) {
    throw refusalOf(error, {
      role: 'timestamp',
      kind: 'timestamp',
      glimpse: seen,
      keyIds,
      promised: undefined,
    })
  }
}

function openStore(root: Uint8Array): TrustedMetadataStore {
  try {
    glimpse(root, { name: 'root', bytesMax: METADATA_BOUNDS.rootBytesMax })
    return new TrustedMetadataStore(Buffer.from(root))
  } catch (cause) {
    throw new TrustRefusal(
      'root_unusable',
      `Cannot use the root that this device holds: ${messageOf(cause)}`,
      { cause },
    )
  }
}

interface Judgement {
  readonly role: string
  readonly delegator: string
  readonly promised: number | undefined
}

function describeVersion(role: string, version: number, why: string): string {
  return `Cannot take the ${role} metadata: its version is ${version}, ${why}`
}

/** Stands for the keys whose change makes a client forget what it saw (5.3.11). */
function onlineKeysOf(root: TufWorkflow['root']): string {
  const roles = ['timestamp', 'snapshot'].map((name) => {
    const { keyIDs, threshold } = present(root.roles[name], `a root names the keys of ${name}`)
    return { keys: [...keyIDs].sort(), threshold }
  })
  return createHash('sha256').update(encodeCanonical(roles)).digest('hex')
}
