import type { Clock } from '../kit/clock.ts'
import { DIRECTOR_BYTES_MAX, readDirectors } from './director.ts'
import type { EnvelopeKey } from './dsse.ts'
import { type HighWater, HighWaterMemory } from './high-water.ts'
import {
  type MetadataFiles,
  MetadataMemory,
  MetadataOverlay,
  roleFile,
  rootHistoryFile,
} from './metadata-files.ts'
import { DIRECTOR_TARGET } from './names.ts'
import { TrustRefusal } from './refusal.ts'
import { verifyTime } from './signed-time.ts'
import { type TrustedTime, trustedTime } from './trusted-time.ts'
import { TrustView } from './view.ts'
import { isUsableRoot, type MetadataSource, TufWorkflow } from './workflow.ts'

/** The line to a registry, or a bundle. Nothing that comes over it is believed. */
export interface TrustSource extends MetadataSource {
  /** Undefined: it does not have that object. */
  fetchObject(sha256: string, bytesMax: number): Promise<Uint8Array | undefined>
  /** The director's answer to what time it is, where it can be asked. */
  fetchTime?(nonce: string): Promise<Uint8Array | undefined>
}

export interface TrustClientParts {
  readonly files: MetadataFiles
  readonly highWater: HighWater
  readonly clock: Clock
  /** It is later than the build of this program. */
  readonly builtMs: number
  /** The root of the enrolment: where trust begins, and begins again when the folder is lost. */
  readonly enrolledRoot: Uint8Array
  /** 16 random bytes, in hex. */
  readonly makeNonce: () => string
}

const DIRECTOR_FILE = 'director.json'
/** So far may a registry's clock be ahead of this one without being wrong. */
const CLOCK_SLACK_MS = 24 * 3600 * 1000

/** What a device trusts, kept on disk and brought up to date. */
export class TrustClient {
  readonly #parts: TrustClientParts
  /** Kept for the life of the process: the monotonic clock counts on from it. */
  #told: { readonly timeMs: number; readonly atElapsedMs: number } | undefined
  /** One at a time: all of them write the same files. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(parts: TrustClientParts) {
    this.#parts = parts
  }

  /** Asks the source for what is new; what was accepted before a refusal stays accepted. */
  refresh(source: TrustSource): Promise<TrustView> {
    return this.#inTurn(() => this.#refresh(source))
  }

  /** From the disk alone, as long as it has not expired. Protects against nothing that was signed since. */
  load(): Promise<TrustView> {
    return this.#inTurn(() => this.#update(undefined))
  }

  /** What the source has, as one sees it that has seen nothing yet: leaves no trace, and protects against nothing old. */
  look(source: TrustSource): Promise<TrustView> {
    return this.#inTurn(async () => {
      const time = this.now()
      const files = new MetadataMemory()
      const highWater = new HighWaterMemory()
      const root = await this.#readRoot()
      const workflow = new TufWorkflow(root, { source, files, highWater, nowMs: time.ms })
      await workflow.refresh()
      return new TrustView(workflow, { directorKeys: [], time })
    })
  }

  /** A role's metadata as it was verified last, expired or not; undefined where it never was. */
  kept(role: string): Promise<Uint8Array | undefined> {
    return this.#parts.files.read(roleFile(role))
  }

  now(): TrustedTime {
    const { clock, builtMs, highWater } = this.#parts
    const told = this.#told
    return trustedTime({
      wallMs: clock.now(),
      floorMs: Math.max(builtMs, highWater.issuedMs()),
      told: told && { timeMs: told.timeMs, agoMs: clock.elapsed() - told.atElapsedMs },
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work)
    this.#turn = mine.catch(() => undefined)
    return mine
  }

  /**
   * A clock that stands at 1970 would let pass what has expired, and what seems to have expired may only seem so to one
   * that is ahead: the director knows.
   */
  async #refresh(source: TrustSource): Promise<TrustView> {
    if (this.now().source === 'floor') await this.#askTime(source).catch(passOverWrongTime)
    try {
      return await this.#update(source)
    } catch (error) {
      const isExpired = error instanceof TrustRefusal && error.reason === 'metadata_expired'
      if (!isExpired || this.#told !== undefined || !(await this.#askTime(source))) throw error
      return await this.#update(source)
    }
  }

  async #update(source: TrustSource | undefined): Promise<TrustView> {
    const { files, highWater } = this.#parts
    const time = this.now()
    const workflow = new TufWorkflow(await this.#readRoot(), { source, files, highWater, nowMs: time.ms })
    await workflow.refresh()
    this.#noteIssued(workflow, time)
    const directorKeys = await this.#readDirectors(workflow, { source, files })
    return new TrustView(workflow, { directorKeys, time })
  }

  /** The newest root that can be read; the chain leads on from any of them. */
  async #readRoot(): Promise<Uint8Array> {
    const { files, highWater, enrolledRoot } = this.#parts
    const highest = highWater.versionOf('root')
    const names = [roleFile('root'), ...(highest === undefined ? [] : [rootHistoryFile(highest)])]
    for (const name of names) {
      const bytes = await files.read(name)
      if (bytes !== undefined && isUsableRoot(bytes)) return bytes
    }
    return enrolledRoot
  }

  /** It is later than when the timestamp was signed, if that is not further ahead than its own end or a sound clock. */
  #noteIssued({ timestamp }: TufWorkflow, time: TrustedTime): void {
    const issuedMs = Date.parse(String(timestamp.unrecognizedFields['issued']))
    const latestMs = time.source === 'floor' ? Date.parse(timestamp.expires) : time.ms + CLOCK_SLACK_MS
    if (Number.isSafeInteger(issuedMs) && issuedMs <= latestMs) this.#parts.highWater.raiseIssued(issuedMs)
  }

  async #readDirectors(
    workflow: TufWorkflow,
    { source, files }: { source: TrustSource | undefined; files: MetadataFiles },
  ): Promise<readonly EnvelopeKey[]> {
    const { targets } = workflow.topTargets
    const target = Object.hasOwn(targets, DIRECTOR_TARGET) ? targets[DIRECTOR_TARGET] : undefined
    if (target === undefined) return []
    const listed = { sha256: target.hashes['sha256'] ?? '', bytes: target.length }
    const kept = await files.read(DIRECTOR_FILE)
    if (kept !== undefined) {
      try {
        return readDirectors(kept, listed)
      } catch {
        // Another key by now, or a torn file.
      }
    }
    const bytes = await source?.fetchObject(listed.sha256, Math.min(listed.bytes, DIRECTOR_BYTES_MAX))
    if (bytes === undefined) {
      throw new TrustRefusal(
        'metadata_missing',
        `Cannot learn who the director is: the object ${listed.sha256} is not there`,
      )
    }
    const keys = readDirectors(bytes, listed)
    await files.write(DIRECTOR_FILE, bytes)
    return keys
  }

  /** False where nobody answers. */
  async #askTime(source: TrustSource): Promise<boolean> {
    const { clock, makeNonce } = this.#parts
    if (source.fetchTime === undefined) return false
    const nonce = makeNonce()
    const answer = await source.fetchTime(nonce)
    if (answer === undefined) return false
    const directorKeys = await this.#directorsNow(source)
    this.#told = { timeMs: verifyTime(answer, { nonce, directorKeys }), atElapsedMs: clock.elapsed() }
    return true
  }

  /**
   * The director's keys as TUF names them now, whatever the time: only the clock is in question, and the key may have
   * changed since the last look. Leaves no trace: what is accepted is accepted by a time that is known.
   */
  async #directorsNow(source: TrustSource): Promise<readonly EnvelopeKey[]> {
    const files = new MetadataOverlay(this.#parts.files)
    const highWater = new HighWaterMemory()
    const workflow = new TufWorkflow(await this.#readRoot(), { source, files, highWater, nowMs: 0 })
    await workflow.refresh()
    return await this.#readDirectors(workflow, { source, files })
  }
}

/** A time that cannot be believed is as good as none: the floor stands, and the view says that it does. */
function passOverWrongTime(error: unknown): void {
  if (!(error instanceof TrustRefusal && error.reason.startsWith('time_'))) throw error
}
