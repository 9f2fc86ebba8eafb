import { EdgeError } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import { Arrivals, type WaitBounds } from './arrivals.ts'
import { Lane } from './lane.ts'
import { LaneChanges, type Swap } from './lane-changes.ts'
import type { MemoryBounds } from './lane-room.ts'
import { type LaneStatus, LaneTable } from './lane-table.ts'
import { LifeCounts } from './life.ts'
import type { LanePlan, Opening } from './open-lane.ts'
import type { ResponseCache } from './response-cache.ts'
import { DrainingLanes } from './sequences/draining.ts'
import type { SequencePart } from './sequences/plan.ts'

interface LanesOptions extends Opening {
  /** Without it lanes may take what they want. */
  readonly memory?: MemoryBounds
  readonly wait?: WaitBounds
}

interface Asked {
  readonly signal?: AbortSignal | undefined
  readonly sequence?: SequencePart | undefined
}

const NOTHING: Asked = {}
const UNBOUNDED: MemoryBounds = { bytesMax: 0, availableBytes: async () => Number.POSITIVE_INFINITY }
const WAIT: WaitBounds = { waitMsMax: 30_000, waitItemsMax: 256 }

/** All lanes of this process, and what became of the versions that have none. */
export class Lanes {
  readonly counts = new LifeCounts()
  /** What all lanes together may take; 0 is no bound. */
  readonly memoryBytesMax: number
  readonly #options: LanesOptions
  readonly #table = new LaneTable(() => this.#onChange())
  readonly #draining = new DrainingLanes()
  readonly #arrivals: Arrivals
  readonly #changes: LaneChanges
  readonly #log: Logger = logger('inference')
  #onChange: () => void = () => undefined

  constructor(options: LanesOptions) {
    const { memory = UNBOUNDED, wait = WAIT, clock } = options
    this.#options = options
    this.memoryBytesMax = memory.bytesMax
    this.#arrivals = new Arrivals(clock, wait)
    this.#changes = new LaneChanges({
      opening: options,
      memory,
      table: this.#table,
      counts: this.counts,
      draining: this.#draining,
      onChange: (model) => this.#arrivals.notify(model),
    })
  }

  /** Of all lanes that keep their answers; undefined where none may. */
  get cache(): ResponseCache | undefined {
    return this.#options.cache
  }

  /** Requests that wait for a version to be loaded. */
  get waiting(): number {
    return this.#arrivals.waiting
  }

  /** Makes a version known that cannot be loaded, so that the index can say why. */
  note(model: string, version: string, reason: string): LaneStatus {
    const lane = this.#table.lane(model, version)
    // What is served goes on being served, whatever has become of its folder.
    const state = lane === undefined ? 'UNAVAILABLE' : 'READY'
    this.#table.set({ model, version, state, reason }, lane)
    this.#log.error('inference.model_unavailable', { model, version, reason })
    return this.#table.status(model, version)
  }

  /** Takes back what was noted of a version that is not served. */
  forget(model: string, version: string): void {
    this.#table.forget(model, version)
  }

  /** Makes a version known that the first request for it loads. */
  know(plan: LanePlan): LaneStatus {
    return this.#changes.know(plan)
  }

  /**
   * Loads a version beside all others, and beside itself when it is being served already: the new lane takes over once
   * it is ready, the old one finishes what it has. Where memory does not allow both, the old one goes first, requests
   * wait, and it comes back if the new one fails. What goes wrong is a state and the result, not an exception; a version
   * that was served goes on being served.
   */
  load(plan: LanePlan, swap?: Swap): Promise<LaneStatus> {
    return this.#changes.load(plan, swap)
  }

  /** Puts a lane with the providers that failed in the place of one without; undefined when it has, else why not. */
  retryProviders(model: string, version: string): Promise<string | undefined> {
    return this.#changes.retryProviders(model, version)
  }

  /** Takes no more requests for a version, answers those it has, and lets go of it. */
  unload(model: string, version: string): Promise<void> {
    return this.#changes.unload(model, version)
  }

  /** Calls one listener after each change, before anybody else can see it. */
  watch(onChange: () => void): void {
    this.#onChange = onChange
  }

  /** Puts a lane that was made elsewhere, or none, in a version's place; what was there answers what it has. */
  place(status: LaneStatus, lane: Lane | undefined): void {
    this.#changes.place(status, lane)
  }

  /** One change of a version at a time, in the order in which they were asked for. */
  inTurn<T>(model: string, version: string, change: () => Promise<T>): Promise<T> {
    return this.#changes.inTurn(`${model}/${version}`, change)
  }

  /** The lane of just this version, if it has one. */
  lane(model: string, version: string): Lane | undefined {
    return this.#table.lane(model, version)
  }

  status(model: string, version: string): LaneStatus {
    return this.#table.status(model, version)
  }

  /** Whether a request for a version without a lane would wait for it: it is on its way, or loaded when one asks. */
  isAwaited(model: string, version: string | undefined): boolean {
    return this.#table.isAwaited(model, version)
  }

  /** The lane for a request: at once where there is one, else as soon as it is there, where that can be hoped for. */
  obtain(model: string, version: string | undefined, of: Asked = NOTHING): Lane | Promise<Lane> {
    const found = this.#table.look(model, version)
    if (found instanceof Lane)
      return of.sequence === undefined ? found : this.find(model, version, of.sequence)
    const holder =
      of.sequence?.isStart === false ? this.#draining.find(model, version, of.sequence) : undefined
    return holder ?? this.#await(model, version, of.signal)
  }

  #await(model: string, version: string | undefined, signal: AbortSignal | undefined): Promise<Lane> {
    const look = () => {
      const found = this.#table.look(model, version)
      if (found instanceof Lane) return found
      const isComing = found.prospect === 'coming' || this.#changes.summon(model, found.version)
      if (isComing) return undefined
      const { state, reason } = this.#table.status(model, found.version)
      const id = `${model}/${found.version}`
      throw new EdgeError('model_unavailable', `Cannot infer with "${id}": it is ${state}: ${reason}`)
    }
    return this.#arrivals.await(model, look, signal)
  }

  /** Label → version. */
  labels(model: string): Readonly<Record<string, string>> {
    return this.#table.labels(model)
  }

  /** Moves all of these labels at once, or none: each may only point at a version that is ready. Null takes one away. */
  moveLabels(model: string, labels: Readonly<Record<string, string | null>>): void {
    this.#table.moveLabels(model, labels)
    this.#log.info('inference.labels_moved', { model, labels: this.#table.labels(model) })
  }

  /**
   * The lane of a version or, where no version has that name, of a label; of the latest ready one when none is named. A
   * request of a sequence goes to the lane where that began, as long as it is there.
   */
  find(model: string, version: string | undefined, sequence?: SequencePart): Lane {
    const lane = this.#table.find(model, version)
    if (sequence === undefined || sequence.isStart || lane.sequences?.isOpen(sequence)) return lane
    // A label, or none, may have stood for another version when the sequence began.
    const named = version === lane.version ? version : undefined
    const others = this.#table.ready(model, named)
    const other = others.find(({ sequences }) => sequences?.isOpen(sequence))
    return other ?? this.#draining.find(model, named, sequence) ?? lane
  }

  /** Ready versions of a model, oldest first. */
  versions(model: string): string[] {
    return this.#table.versions(model)
  }

  isReady(model: string, version: string | undefined): boolean {
    return this.#table.isReady(model, version)
  }

  /** The lanes that serve, by name and version; of one model, or of one version of it, when named. */
  ready(model?: string, version?: string): Lane[] {
    return this.#table.ready(model, version)
  }

  /** Whether a version is being loaded that requests do not wait for. */
  isLoading(): boolean {
    return this.#table.isLoading()
  }

  /** Every version that is known, by name and version. */
  index(): LaneStatus[] {
    return this.#table.index()
  }

  /** Lets go of every lane, after its last request. */
  async close(): Promise<void> {
    const lanes = this.#table.lanes()
    this.#table.clear()
    await Promise.all([...lanes.map((lane) => lane.close()), this.#draining.close()])
  }
}
