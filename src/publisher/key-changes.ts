import { join } from 'node:path'
import type { Clock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'
import { OFFLINE_DAYS } from '../trust/ceremony.ts'
import type { SigningKey } from '../trust/key.ts'
import { NO_TARGETS, readRoot, readTargets } from '../trust/metadata-fields.ts'
import { isFamilyName } from '../trust/names.ts'
import { type RootProgress, rekeyRoot, renewRoot, signRootDraft } from '../trust/root-change.ts'
import type { RootFields, TargetsFields } from '../trust/sign-metadata.ts'
import { delegateFamily, nameDirector, signNextTargets } from '../trust/targets-change.ts'
import type { KeyFolder } from './key-folder.ts'
import type { RepositoryPort } from './repository-port.ts'
import type { TrustedReader } from './trusted-reader.ts'

const DRAFT = 'root-draft.json'

/** `limpet keys`: what changes who may sign. Each is the next version of root or targets, taken like any other. */
export class KeyChanges {
  readonly #folder: KeyFolder
  readonly #repository: RepositoryPort
  readonly #trusted: TrustedReader
  readonly #clock: Clock
  /** Key files beside those in the folder. */
  readonly #keyFiles: readonly string[]
  readonly #print: (line: string) => void

  constructor(parts: {
    folder: KeyFolder
    repository: RepositoryPort
    trusted: TrustedReader
    clock: Clock
    keyFiles: readonly string[]
    print: (line: string) => void
  }) {
    this.#folder = parts.folder
    this.#repository = parts.repository
    this.#trusted = parts.trusted
    this.#clock = parts.clock
    this.#keyFiles = parts.keyFiles
    this.#print = parts.print
  }

  /** `what` is a role of the root, "director", or a family. */
  async rotate(what: string): Promise<void> {
    if (what === 'root') return await this.#rotateRoot()
    if (what === 'snapshot' || what === 'timestamp') return await this.#rotateOnline(what)
    if (what === 'targets') return await this.#rotateTargets()
    if (what === 'director') return await this.#rotateDirector()
    await this.#rotatePublisher(what)
  }

  async addPublisher(family: string): Promise<void> {
    if (!isFamilyName(family)) {
      throw new EdgeError('input_invalid', `Cannot add the family "${family}": expected a name like "vision"`)
    }
    const targets = await this.#newest('targets')
    if (targets.delegations?.roles.some(({ name }) => name === family)) {
      throw new EdgeError(
        'input_invalid',
        `Cannot add the family "${family}": it is there; "limpet keys rotate ${family}" gives it another key`,
      )
    }
    await this.#delegate(family, targets)
  }

  /** The same for longer. */
  async renew(what: string): Promise<void> {
    if (what === 'root') return await this.#propose(renewRoot(await this.#root(), this.#clock.now()))
    const targets = await this.#newest(what)
    const keys = await this.#signersOf(what)
    await this.#acceptTargets(what, { targets, keys })
  }

  /** Adds the signatures of the root keys at hand; once they are enough, the root is taken. */
  async signRoot(): Promise<void> {
    const draft = await Bun.file(join(this.#folder.path, DRAFT))
      .bytes()
      .catch(() => undefined)
    if (draft === undefined) {
      throw new EdgeError(
        'input_invalid',
        `Cannot sign a root: there is no "${DRAFT}" in "${this.#folder.path}"; a rotation makes one`,
      )
    }
    await this.#propose(draft)
  }

  async #rotateRoot(): Promise<void> {
    const root = await this.#root()
    const keys: SigningKey[] = []
    for (let number = 1; number <= root.roles.root.keyids.length; number += 1) {
      keys.push((await this.#created('offline', `root-${number}`)).key)
    }
    await this.#propose(rekeyRoot(root, { role: 'root', keys, nowMs: this.#clock.now() }))
  }

  async #rotateOnline(role: 'snapshot' | 'timestamp'): Promise<void> {
    const { key, file } = await this.#created('registry/keys', role)
    this.#print(`Copy "${file}" into the registry's "keys" folder before the new root is sent to it.`)
    await this.#propose(rekeyRoot(await this.#root(), { role, keys: [key], nowMs: this.#clock.now() }))
  }

  /** Targets are signed by the old key and the new one first, so that they are good under either root. */
  async #rotateTargets(): Promise<void> {
    const root = await this.#root()
    const signers = await this.#signersOf('targets')
    const targets = await this.#newest('targets')
    const { key } = await this.#created('offline', 'targets')
    await this.#acceptTargets('targets', { targets, keys: [...signers, key] })
    await this.#propose(rekeyRoot(root, { role: 'targets', keys: [key], nowMs: this.#clock.now() }))
  }

  async #rotateDirector(): Promise<void> {
    const { key, file } = await this.#created('registry/keys', 'director')
    this.#print(
      `Copy "${file}" into the registry's "keys" folder: it signs with the new key once devices can know it.`,
    )
    const { targets, object } = nameDirector(await this.#newest('targets'), [key])
    await this.#repository.putObject(object)
    await this.#acceptTargets('targets', { targets, keys: await this.#signersOf('targets') })
  }

  async #rotatePublisher(family: string): Promise<void> {
    const targets = await this.#newest('targets')
    if (!targets.delegations?.roles.some(({ name }) => name === family)) {
      throw new EdgeError(
        'input_invalid',
        `Cannot rotate "${family}": expected root, targets, snapshot, timestamp, director or a family`,
      )
    }
    await this.#delegate(family, targets)
  }

  /** Delegates to a new key, and signs what the family has with it. */
  async #delegate(family: string, targets: TargetsFields): Promise<void> {
    const signers = await this.#signersOf('targets')
    const published = await this.#newest(family)
    const { key } = await this.#created('publishers', family)
    await this.#acceptTargets('targets', { targets: delegateFamily(targets, { family, key }), keys: signers })
    await this.#acceptTargets(family, { targets: published, keys: [key] })
  }

  async #acceptTargets(
    role: string,
    { targets, keys }: { targets: TargetsFields; keys: readonly SigningKey[] },
  ): Promise<void> {
    const days = role === 'targets' ? OFFLINE_DAYS.targets : OFFLINE_DAYS.family
    const bytes = signNextTargets(targets, { keys, days, nowMs: this.#clock.now() })
    await this.#repository.accept(role, bytes)
    this.#print(`The ${role} metadata is at version ${targets.version + 1}.`)
  }

  /** The draft is kept until it is complete: root keys are rarely all in one place. */
  async #propose(draft: Uint8Array): Promise<void> {
    const old = await this.#root()
    const progress = signRootDraft(draft, { old, keys: await this.#keys() })
    const file = join(this.#folder.path, DRAFT)
    await this.#folder.write(file, progress.bytes)
    if (!progress.isComplete) return this.#describeDraft(progress)
    await this.#repository.accept('root', progress.bytes)
    await Bun.file(file).delete()
    await this.#folder.write(join(this.#folder.path, 'root.json'), progress.bytes)
    this.#print(`The root is at version ${readRoot(progress.bytes).version}.`)
  }

  #describeDraft({ byOld, byNew }: RootProgress): void {
    const missing = (name: string, { signed, needed }: { signed: number; needed: number }) =>
      `${signed} of ${needed} signatures of the ${name} root keys`
    this.#print(`"${DRAFT}" has ${missing('present', byOld)} and ${missing('next', byNew)}.`)
    this.#print('Take it to the other keys, and run: limpet keys sign-root --dir DIR --key FILE')
  }

  async #root(): Promise<RootFields> {
    const bytes = await this.#trusted.newest('root')
    if (bytes === undefined)
      throw new EdgeError(
        'input_invalid',
        'Cannot change keys: there is no "root.json"; "limpet keys init" makes one',
      )
    return readRoot(bytes)
  }

  async #newest(role: string): Promise<TargetsFields> {
    const bytes = await this.#trusted.newest(role)
    return bytes === undefined ? NO_TARGETS : readTargets(bytes)
  }

  async #created(place: Parameters<KeyFolder['create']>[0], name: string) {
    const created = await this.#folder.create(place, name)
    this.#print(`Made "${created.file}".`)
    return created
  }

  async #keys(): Promise<SigningKey[]> {
    return await this.#folder.load(['offline', 'publishers'], this.#keyFiles)
  }

  /** The keys at hand that may sign the role. */
  async #signersOf(role: string): Promise<SigningKey[]> {
    const delegated = (await this.#newest('targets')).delegations?.roles.find(({ name }) => name === role)
    const ids = role === 'targets' ? (await this.#root()).roles.targets.keyids : (delegated?.keyids ?? [])
    const keys = (await this.#keys()).filter(({ id }) => ids.includes(id))
    if (keys.length > 0) return keys
    throw new EdgeError(
      'input_invalid',
      `Cannot sign as "${role}": expected the key ${ids.map((id) => id.slice(0, 8)).join(' or ') || '(nobody may)'}; ` +
        `give its file with --key FILE, or put it into "${join(this.#folder.path, 'offline')}"`,
    )
  }
}
