import { messageOf } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import type { Lane } from './lane.ts'
import { type LaneStatus, LaneTable } from './lane-table.ts'
import { type LanePlan, type Opening, openLane } from './open-lane.ts'
import type { ResponseCache } from './response-cache.ts'
import { DrainingLanes } from './sequences/draining.ts'
import type { SequencePart } from './sequences/plan.ts'

/** All lanes of this process, and what became of the versions that have none. */
export class Lanes {
  readonly #options: Opening
  readonly #table = new LaneTable()
  /** The last change asked for, by "model/version". */
  readonly #changes = new Map<string, Promise<void>>()
  readonly #draining = new DrainingLanes()
  readonly #log: Logger = logger('inference')

  constructor(options: Opening) {
    this.#options = options
  }

  /** Of all lanes that keep their answers; undefined where none may. */
  get cache(): ResponseCache | undefined {
    return this.#options.cache
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

  /**
   * Loads a version beside all others, and beside itself when it is being served already: the new lane takes over once
   * it is ready, the old one finishes what it has. What goes wrong is a state and the result, not an exception; a
   * version that was served goes on being served.
   */
  load(plan: LanePlan): Promise<LaneStatus> {
    return this.#inTurn(plan.model, plan.version, () => this.#load(plan))
  }

  /** Takes no more requests for a version, answers those it has, and lets go of it. */
  unload(model: string, version: string): Promise<void> {
    return this.#inTurn(model, version, () => this.#unload(model, version))
  }

  /** One change of a version at a time, in the order in which they were asked for. */
  #inTurn<T>(model: string, version: string, change: () => Promise<T>): Promise<T> {
    const key = `${model}/${version}`
    const before = this.#changes.get(key)
    const turn = before === undefined ? change() : before.then(change)
    const settled = turn.then(
      () => undefined,
      () => undefined,
    )
    this.#changes.set(key, settled)
    void settled.then(() => {
      if (this.#changes.get(key) === settled) this.#changes.delete(key)
    })
    return turn
  }

  async #load(plan: LanePlan): Promise<LaneStatus> {
    const { model, version } = plan
    const before = this.#table.lane(model, version)
    const began = this.#options.clock.elapsed()
    const onStep = (reason: string) => {
      if (before === undefined) this.#table.set({ model, version, state: 'LOADING', reason }, undefined)
    }
    const lane = await openLane(plan, this.#options, onStep).catch((error: unknown) => {
      this.#noteFailure(plan, before, messageOf(error))
      return undefined
    })
    if (lane === undefined) return this.#table.status(model, version)
    this.#table.set({ model, version, state: 'READY', reason: '' }, lane)
    const loadMs = Math.round(this.#options.clock.elapsed() - began)
    const { providers } = lane.session
    this.#log.info('inference.lane_ready', { model, version, load_ms: loadMs, providers })
    if (before !== undefined) await this.#draining.letGo(before)
    return this.#table.status(model, version)
  }

  #noteFailure({ model, version }: LanePlan, before: Lane | undefined, why: string): void {
    if (before === undefined) {
      this.note(model, version, why)
      return
    }
    const reason = `serving what was loaded before, loading again failed: ${why}`
    this.#table.set({ model, version, state: 'READY', reason }, before)
    this.#log.error('inference.reload_failed', { model, version, reason })
  }

  async #unload(model: string, version: string): Promise<void> {
    const lane = this.#table.lane(model, version)
    if (lane === undefined) return
    this.#table.set({ model, version, state: 'UNLOADING', reason: 'unloading' }, undefined)
    // Where no other version is left nobody finds the way to a sequence in progress: it ends with its lane.
    await (this.versions(model).length > 0 ? this.#draining.letGo(lane) : lane.close())
    this.#table.set({ model, version, state: 'UNAVAILABLE', reason: 'unloaded' }, undefined)
    this.#log.info('inference.lane_unloaded', { model, version })
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

  /** Every version that is known, by name and version. */
  index(): LaneStatus[] {
    return this.#table.index()
  }

  /** Lets go of every lane, after its last request. */
  async close(): Promise<void> {
    const lanes = this.#table.ready()
    this.#table.clear()
    await Promise.all([...lanes.map((lane) => lane.close()), this.#draining.close()])
  }
}
