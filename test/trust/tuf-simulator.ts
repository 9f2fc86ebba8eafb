/** A TUF repository whose every field a test can turn, and a client of it. Metadata is signed when it is asked for. */
import { createHash } from 'node:crypto'
import { HighWaterMemory } from '../../src/trust/high-water.ts'
import { generateKeyPem, readSigningKey, type SigningKey } from '../../src/trust/key.ts'
import { MetadataMemory } from '../../src/trust/metadata-files.ts'
import { TrustRefusal } from '../../src/trust/refusal.ts'
import {
  addSignatures,
  instant,
  type MetaFields,
  signRoot,
  signTargets,
  type TargetFields,
} from '../../src/trust/sign-metadata.ts'
import { type MetadataSource, TufWorkflow } from '../../src/trust/workflow.ts'

export const DAY_MS = 24 * 3600 * 1000
export const START_MS = Date.parse('2026-11-01T00:00:00Z')

export type Top = 'root' | 'targets' | 'snapshot' | 'timestamp'

export function newKey(): SigningKey {
  return readSigningKey(generateKeyPem(undefined), { name: 'test' })
}

interface Role {
  version: number
  expires: string
  /** Whoever signs; who may sign is the delegator's to say. */
  signers: SigningKey[]
}

interface TargetsRole extends Role {
  targets: Record<string, TargetFields>
  delegations: Delegation[]
  /** What may be downloaded, by path. */
  contents: Map<string, Uint8Array>
}

export interface Delegation {
  name: string
  keys: SigningKey[]
  threshold: number
  terminating: boolean
  paths: string[]
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

export class TufSimulator implements MetadataSource {
  readonly root = {
    version: 0,
    expires: later(365),
    signers: [] as SigningKey[],
    keys: {} as Record<string, SigningKey['json']>,
    roles: Object.fromEntries(
      (['root', 'targets', 'snapshot', 'timestamp'] as const).map((name) => [
        name,
        { keyids: [] as string[], threshold: 1 },
      ]),
    ) as Record<Top, { keyids: string[]; threshold: number }>,
    extra: {} as object,
  }
  readonly timestamp = { version: 1, expires: later(30), signers: [] as SigningKey[], snapshotVersion: 1 }
  readonly snapshot = {
    version: 1,
    expires: later(30),
    signers: [] as SigningKey[],
    listed: {} as Record<string, number>,
  }
  readonly targets = new Map<string, TargetsRole>()
  readonly roots: Uint8Array[] = []
  /** Names in the order they were asked for. */
  readonly requests: string[] = []
  /** Whether snapshot and timestamp say what the files hash to. */
  isHashed = false
  /** What is answered instead. */
  readonly instead = new Map<string, Uint8Array | undefined>()

  constructor() {
    this.targets.set('targets', this.newTargets())
    for (const role of ['root', 'targets', 'snapshot', 'timestamp'] as const) this.addKey(role, newKey())
    this.publishRoot()
    this.snapshot.listed['targets'] = 1
  }

  newTargets(): TargetsRole {
    return { version: 1, expires: later(30), signers: [], targets: {}, delegations: [], contents: new Map() }
  }

  role(name: string): TargetsRole {
    const role = this.targets.get(name)
    if (role === undefined) throw new Error(`No role ${name}`)
    return role
  }

  signersOf(role: Top): SigningKey[] {
    return role === 'targets' ? this.role('targets').signers : this[role].signers
  }

  addKey(role: Top, key: SigningKey): void {
    this.root.keys[key.id] = key.json
    const { keyids } = this.root.roles[role]
    if (!keyids.includes(key.id)) keyids.push(key.id)
    this.signersOf(role).push(key)
  }

  /** Other keys for a role; the root says so once it is published. */
  rotate(role: Top): void {
    this.root.roles[role].keyids.length = 0
    this.signersOf(role).length = 0
    this.addKey(role, newKey())
  }

  publishRoot(): void {
    this.root.version += 1
    this.roots.push(this.signedRoot())
  }

  signedRoot(): Uint8Array {
    const { version, expires, keys, roles, signers, extra } = this.root
    return signRoot({ version, expires, keys, roles, ...extra }, signers)
  }

  /** A new snapshot that lists the present versions, and a timestamp that lists it. */
  updateSnapshot(): void {
    for (const [name, { version }] of this.targets) this.snapshot.listed[name] = version
    this.snapshot.version += 1
    this.updateTimestamp()
  }

  updateTimestamp(): void {
    this.timestamp.snapshotVersion = this.snapshot.version
    this.timestamp.version += 1
  }

  delegate(from: string, delegation: Delegation): void {
    this.role(from).delegations.push(delegation)
    const role = this.targets.get(delegation.name) ?? this.newTargets()
    role.signers = [...role.signers, ...delegation.keys]
    this.targets.set(delegation.name, role)
  }

  addTarget(name: string, path: string, content: Uint8Array): void {
    const role = this.role(name)
    role.targets[path] = { length: content.length, hashes: { sha256: sha256(content) } }
    role.contents.set(path, content)
  }

  fetchMetadata(name: string): Promise<Uint8Array | undefined> {
    this.requests.push(name)
    if (this.instead.has(name)) return Promise.resolve(this.instead.get(name))
    const [, version, quoted] = /^(?:(\d+)\.)?(.+)\.json$/.exec(name) ?? []
    const role = decodeURIComponent(quoted ?? '')
    if (role === 'root') return Promise.resolve(this.roots[Number(version) - 1])
    if (role === 'timestamp') return Promise.resolve(this.signedTimestamp())
    if (role === 'snapshot') return Promise.resolve(this.signedSnapshot())
    return Promise.resolve(this.targets.has(role) ? this.signedTargets(role) : undefined)
  }

  signedTargets(name: string): Uint8Array {
    const { version, expires, targets, delegations, signers } = this.role(name)
    const keys = Object.fromEntries(delegations.flatMap((each) => each.keys.map((key) => [key.id, key.json])))
    const roles = delegations.map(({ name: child, keys: own, threshold, terminating, paths }) => ({
      name: child,
      keyids: own.map(({ id }) => id),
      threshold,
      terminating,
      paths,
    }))
    return signTargets(
      { version, expires, targets, ...(roles.length > 0 && { delegations: { keys, roles } }) },
      signers,
    )
  }

  signedSnapshot(): Uint8Array {
    const { version, expires, listed, signers } = this.snapshot
    const meta = Object.fromEntries(
      Object.entries(listed).map(([name, each]) => [
        `${name}.json`,
        this.#meta(each, () => this.signedTargets(name)),
      ]),
    )
    return signAny('snapshot', { version, expires, meta }, signers)
  }

  signedTimestamp(): Uint8Array {
    const { version, expires, snapshotVersion, signers } = this.timestamp
    const meta = { 'snapshot.json': this.#meta(snapshotVersion, () => this.signedSnapshot()) }
    return signAny('timestamp', { version, expires, meta }, signers)
  }

  #meta(version: number, sign: () => Uint8Array): Partial<MetaFields> {
    if (!this.isHashed) return { version }
    const bytes = sign()
    return { version, length: bytes.length, hashes: { sha256: sha256(bytes) } }
  }
}

/** A device: what it has accepted, and what becomes of its next look. */
export class TufDevice {
  readonly files = new MetadataMemory()
  readonly highWater = new HighWaterMemory()
  readonly downloads = new Map<string, Uint8Array>()
  readonly #source: TufSimulator
  nowMs = START_MS

  constructor(source: TufSimulator, root = source.roots[0]) {
    this.#source = source
    if (root !== undefined) this.files.files.set('root.json', root)
  }

  /** "ok", or the reason of the refusal. */
  async refresh(): Promise<string> {
    return await outcomeOf(() => this.#begin().refresh())
  }

  /** "ok", "unlisted" or the reason of the refusal. */
  async download(path: string): Promise<string> {
    return await outcomeOf(async () => {
      const workflow = this.#begin()
      await workflow.refresh()
      const target = await workflow.find(path)
      if (target === undefined) return 'unlisted'
      for (const { contents } of this.#source.targets.values()) {
        const content = contents.get(path)
        if (content === undefined) continue
        if (content.length !== target.length || sha256(content) !== target.hashes['sha256'])
          return 'target_tampered'
        this.downloads.set(path, content)
      }
      return 'ok'
    })
  }

  version(role: string): number | undefined {
    const bytes = this.files.files.get(`${encodeURIComponent(role)}.json`)
    if (bytes === undefined) return undefined
    return (JSON.parse(Buffer.from(bytes).toString()) as { signed: { version: number } }).signed.version
  }

  /** Roles with a file, and their versions. */
  trusted(): Record<string, number | undefined> {
    const names = [...this.files.files.keys()].filter((name) => !name.includes('/')).sort()
    return Object.fromEntries(
      names.map((name) => [
        name.replace('.json', ''),
        this.version(decodeURIComponent(name.replace('.json', ''))),
      ]),
    )
  }

  #begin(): TufWorkflow {
    const root = this.files.files.get('root.json') ?? new Uint8Array()
    return new TufWorkflow(root, {
      source: this.#source,
      files: this.files,
      highWater: this.highWater,
      nowMs: this.nowMs,
    })
  }
}

/** What the work says it came to, "ok" where it says nothing, or the reason of the refusal. */
export async function outcomeOf(work: () => Promise<unknown>): Promise<string> {
  try {
    const said = await work()
    return typeof said === 'string' ? said : 'ok'
  } catch (error) {
    if (error instanceof TrustRefusal) return error.reason
    throw error
  }
}

export function later(days: number): string {
  return instant(START_MS + days * DAY_MS)
}

function signAny(kind: 'snapshot' | 'timestamp', fields: object, signers: SigningKey[]): Uint8Array {
  const unsigned = { signed: { _type: kind, spec_version: '1.0.31', ...fields }, signatures: [] }
  return addSignatures(kind, Buffer.from(JSON.stringify(unsigned)), signers)
}
