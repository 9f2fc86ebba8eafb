import type { ModelFacts } from '../trust/approval.ts'
import type { Hardware, ListedManifest, Manifest, Variant } from '../trust/manifest.ts'
import type { Installed } from './update.ts'

/** What the update engine needs of the rest; `app` passes the real things in. */

/** A version as this device takes it. */
export interface Package extends InstalledAt {
  readonly variant: Variant
  readonly golden: GoldenTolerance | undefined
}

export interface GoldenTolerance {
  /** Folder of the samples within the version. */
  readonly path: string
  readonly absolute: number
  readonly relative: number
}

/** What may run. Everything that it gives is verified; what is not is thrown with a code that says why. */
export interface TrustPort {
  /** The newest that the registry has signed, checked. */
  refresh(signal: AbortSignal): Promise<TrustView>
  /** Fetched, compared with what is listed, read, and kept for `keptManifest`. */
  fetchManifest(listed: ListedManifest, signal: AbortSignal): Promise<Manifest>
  /** What was kept, compared with its hash again; undefined where it is not there or not that. */
  keptManifest(sha256: string): Promise<Manifest | undefined>
}

interface TrustView {
  facts(model: string, version: string): Promise<ModelFacts>
}

/** Versions on the disk, and which of them is the one. */
export interface StorePort {
  /** Those that have a pointer, wherever it leads. */
  models(): Promise<readonly string[]>
  /** What the model's pointer says; undefined where it has none, or it leads nowhere. */
  current(model: string): Promise<Installed | undefined>
  isInstalled(of: InstalledAt): Promise<boolean>
  /** Bytes that would have to be written, and those that can be. */
  space(of: Package): Promise<{ neededBytes: number; freeBytes: number }>
  /** Lets go of versions that the policy does not keep until so much is free; what is free then. */
  makeRoom(neededBytes: number): Promise<number>
  /** Resolves when every chunk is there; tells how many bytes of the whole are. */
  fetch(of: Package, progress: (doneBytes: number) => void, signal: AbortSignal): Promise<void>
  /** Hashes every file in full; the paths of those that are not what was promised, whose parts have been let go. */
  verify(of: Package, progress: () => void, signal: AbortSignal): Promise<readonly string[]>
  /** One durable move: before it the version is not there, after it it is whole and never changes. */
  install(of: Package): Promise<void>
  /** Where it lies. */
  folder(of: InstalledAt): string
  /** One durable flip. */
  point(to: InstalledAt): Promise<void>
  /** The model has no version any more. */
  unpoint(model: string): Promise<void>
  /** Whether every file of an installed version is what it was: flash rots. */
  isWhole(of: InstalledAt): Promise<boolean>
  /** Lets go of a version whose files are not what they were; of none that a pointer leads to. */
  remove(of: InstalledAt): Promise<void>
  /** What has served on this device before, the latest first, and last what it came with. */
  earlier(model: string): Promise<readonly Installed[]>
  /** Lets go of what an update that has ended leaves unfinished. */
  discard(manifest: string): Promise<void>
}

export interface InstalledAt extends Installed {
  readonly model: string
}

export interface HostPort {
  readonly hardware: Hardware
  /** That a new process could have. */
  freeMemoryBytes(): Promise<number>
}

/** The process that proves a version by itself. */
export interface ProbePort {
  run(of: ProbeRequest, signal: AbortSignal): Promise<ProbeVerdict>
}

export interface ProbeRequest {
  readonly folder: string
  readonly golden: GoldenTolerance | undefined
  readonly memoryBytesMax: number
}

export type ProbeVerdict =
  /** Half of its golden samples took no longer; undefined where it has none. */
  | { readonly isFit: true; readonly typicalMs: number | undefined }
  | { readonly isFit: false; readonly code: ProbeFailure; readonly reason: string }

export type ProbeFailure =
  | 'load_failed'
  | 'golden_failed'
  | 'not_finite'
  | 'probe_crashed'
  | 'probe_timeout'
  | 'memory_exceeded'

/** The process that serves, by its own HTTP API. Its names of models are those without the family. */
export interface ServePort {
  isAlive(signal: AbortSignal): Promise<boolean>
  /** Reads the model's folder again; resolves once exactly this version answers. */
  load(name: string, version: string, signal: AbortSignal): Promise<void>
  unload(name: string, signal: AbortSignal): Promise<void>
  /** Undefined while the version does not answer. */
  measure(name: string, version: string, signal: AbortSignal): Promise<Measured | undefined>
  /** Sends the golden samples of the version as requests; throws `peer_failed` where they are not answered at all. */
  replay(of: InstalledAt, golden: GoldenTolerance, signal: AbortSignal): Promise<Replayed>
}

/** Counted since the version was loaded. */
export interface Measured {
  /** Another value after each start of the process. */
  readonly start: string
  readonly requests: number
  readonly errors: number
  /** Answers with a number in them that was NaN or infinite. */
  readonly notFinite: number
  /** Requests that took up to so long, those below included: milliseconds, ascending. */
  readonly latency: readonly { readonly upToMs: number; readonly count: number }[]
}

export interface Replayed {
  readonly samples: number
  readonly wrong: number
  readonly reason: string
}

/** Whoever may say "not now". */
export interface GatePort {
  /** Why nothing may be switched now, undefined when it may. */
  inhibited(): Promise<string | undefined>
  isApproved(manifest: string): boolean
}

/** Where an event waits until the registry has it. Called inside the transaction that writes the state. */
export interface OutboxPort {
  put(event: object): void
}
