import { messageOf } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import { describeRefusal } from '../runtime/describe-refusal.ts'
import { EngineBuilds, takingOver, withoutBuilding } from './engine-builds.ts'
import type { Lane } from './lane.ts'
import { LaneRoom, type MemoryBounds } from './lane-room.ts'
import type { LaneStatus, LaneTable } from './lane-table.ts'
import type { LifeCounts } from './life.ts'
import { type LanePlan, type Opening, openLane } from './open-lane.ts'
import type { DrainingLanes } from './sequences/draining.ts'
import { chooseSwap, type SwapWay } from './swap.ts'
import { Turns } from './turns.ts'

interface Parts {
  readonly opening: Opening
  readonly memory: MemoryBounds
  readonly table: LaneTable
  readonly counts: LifeCounts
  readonly draining: DrainingLanes
  /** Something has become of a version of the model. */
  readonly onChange: (model: string) => void
}

/** What a load takes the place of. */
export interface Swap {
  /** Versions of the model that are let go once it has succeeded. */
  readonly replaces: readonly string[]
  /** Label → version, as they are to be afterwards. */
  readonly labels: Readonly<Record<string, string>>
}

const NO_SWAP: Swap = { replaces: [], labels: {} }

/** After a load for a request has failed, requests do not try it again for so long. */
const RETRY_MS = 5000
const NO_ROOM_TURN = ''

/** Brings lanes in and out. What is decided is in room.ts and swap.ts; here and in lane-room.ts it is done. */
export class LaneChanges {
  readonly #parts: Parts
  readonly #turns = new Turns()
  readonly #plans = new Map<string, LanePlan>()
  /** When a load for a request failed, by "model/version". */
  readonly #failedMs = new Map<string, number>()
  readonly #room: LaneRoom
  readonly #builds: EngineBuilds
  readonly #log: Logger = logger('inference')

  constructor(parts: Parts) {
    this.#parts = parts
    const { clock } = parts.opening
    this.#room = new LaneRoom({ ...parts, clock, lifeOf: (id) => this.#plans.get(id)?.life })
    const reload = (plan: LanePlan) =>
      this.#turns.take(idOf(plan), () => this.#loadAlone(takingOver(plan), NO_SWAP))
    this.#builds = new EngineBuilds({ backend: parts.opening.backend, table: parts.table, reload })
  }

  load(plan: LanePlan, swap: Swap = NO_SWAP): Promise<LaneStatus> {
    const { opening, table } = this.#parts
    return this.#turns.take(idOf(plan), async () => {
      // Where the version serves already, it goes on until the engine is there.
      const mayServe = opening.servesMeanwhile === true && table.lane(plan.model, plan.version) === undefined
      if (!(mayServe && (await this.#builds.isDue(plan)))) return await this.#loadAlone(plan, swap)
      const status = await this.#loadAlone(withoutBuilding(plan), swap)
      if (status.state !== 'READY') return await this.#loadAlone(plan, swap)
      void this.#builds.build(plan)
      return status
    })
  }

  /** Where memory is bounded one load at a time: what one makes room for must not be taken by another. */
  async #loadAlone(plan: LanePlan, swap: Swap): Promise<LaneStatus> {
    this.#failedMs.delete(idOf(plan))
    const load = () => this.#load(plan, swap)
    return await (this.#room.isBounded ? this.#turns.take(NO_ROOM_TURN, load) : load())
  }

  unload(model: string, version: string): Promise<void> {
    return this.#turns.take(`${model}/${version}`, () => this.#unload(model, version))
  }

  retryProviders(model: string, version: string): Promise<string | undefined> {
    const id = `${model}/${version}`
    return this.#turns.take(id, async () => {
      const [lane, plan] = [this.#parts.table.lane(model, version), this.#plans.get(id)]
      if (lane === undefined || plan === undefined) return 'it is not loaded any more'
      try {
        await this.#retryProviders(lane, plan)
        return undefined
      } catch (error) {
        return messageOf(error)
      }
    })
  }

  inTurn<T>(id: string, change: () => Promise<T>): Promise<T> {
    return this.#turns.take(id, change)
  }

  /** Puts a lane that was made elsewhere, or none, in a version's place. */
  place(status: LaneStatus, lane: Lane | undefined): void {
    const before = this.#parts.table.lane(status.model, status.version)
    this.#plans.delete(idOf(status))
    this.#parts.table.set(status, lane)
    this.#parts.onChange(status.model)
    if (before !== undefined && before !== lane) void this.#room.letGo(before)
  }

  /** Makes a version known that the first request for it loads. */
  know(plan: LanePlan): LaneStatus {
    const { model, version } = plan
    this.#plans.set(idOf(plan), plan)
    const reason = 'not loaded yet: the first request for it does that'
    this.#parts.table.set({ model, version, state: 'UNAVAILABLE', reason }, undefined, 'on_demand')
    return this.#parts.table.status(model, version)
  }

  /** Sees to it that a version which is loaded on demand is being loaded; false when that has just failed. */
  summon(model: string, version: string): boolean {
    const id = `${model}/${version}`
    const plan = this.#plans.get(id)
    const failedMs = this.#failedMs.get(id)
    const { clock } = this.#parts.opening
    if (plan === undefined || (failedMs !== undefined && clock.elapsed() - failedMs < RETRY_MS)) return false
    if (this.#turns.has(id)) return true
    this.#parts.counts.loadsOnDemand += 1
    void this.load(plan).then(({ state }) => {
      if (state !== 'READY') this.#failedMs.set(id, clock.elapsed())
      this.#parts.onChange(model)
    })
    return true
  }

  async #load(plan: LanePlan, { replaces, labels }: Swap): Promise<LaneStatus> {
    const { table, counts, opening, onChange } = this.#parts
    const { model, version } = plan
    const began = opening.clock.elapsed()
    const replaced = this.#replaced(plan, replaces)
    const drained: Lane[] = []
    let way: SwapWay | undefined
    try {
      const bytes = expectedBytes(plan, replaced)
      if (replaced.length > 0) way = await this.#chooseWay(plan, { replaced, bytes })
      if (way === 'drain') drained.push(...(await this.#drain(plan, replaced)))
      const lane = await this.#open(plan, {
        bytes,
        kept: way === 'keep_both' ? replaced : [],
        isAwaited: way === 'drain',
      })
      const before = table.lane(model, version)
      table.set({ model, version, state: 'READY', reason: '' }, lane)
      counts.loads += 1
      if (way !== undefined) counts.swaps[way].add((opening.clock.elapsed() - began) / 1000)
      this.#log.info('inference.lane_ready', describe(lane, way))
      this.#forgetDrained(drained, plan, labels)
      this.#plans.set(idOf(plan), plan)
      onChange(model)
      if (before !== undefined) await this.#room.letGo(before)
    } catch (error) {
      counts.loadsFailed += 1
      await this.#recover(plan, drained, messageOf(error))
      onChange(model)
    }
    return table.status(model, version)
  }

  /** Beside what serves, and only where there is room for both: it is a try, for which nothing else has to go. */
  async #retryProviders(lane: Lane, plan: LanePlan): Promise<void> {
    const { table, opening, counts, onChange } = this.#parts
    const bytes = expectedBytes(plan, [lane])
    if (this.#room.isHeld(lane)) throw new Error('it cannot be loaded again, or has sequences in progress')
    if (this.#room.freeBytes < bytes || (await this.#room.availableBytes()) < bytes)
      throw new Error(`there is no room for ${bytes} bytes beside it`)
    const mustHave = failedProviders(lane)
    const again = await openLane(
      { ...plan, session: { ...plan.session, mustHave } },
      opening,
      () => undefined,
    )
    const [failed] = again.session.refusals.filter(({ hasFailed }) => hasFailed)
    if (failed !== undefined) {
      await this.#room.close(again)
      throw new Error(describeRefusal(failed))
    }
    const { model, version } = plan
    table.set({ model, version, state: 'READY', reason: '' }, again)
    counts.loads += 1
    this.#log.warn('inference.providers_back', { ...describe(again, undefined), providers_back: mustHave })
    onChange(model)
    await this.#room.letGo(lane)
  }

  /** What the new version is to take the place of: itself as it was, and those that its model lets go for it. */
  #replaced({ model, version }: LanePlan, replaces: readonly string[]): Lane[] {
    const versions = new Set([version, ...replaces])
    return [...versions].flatMap((other) => this.#parts.table.lane(model, other) ?? [])
  }

  async #chooseWay(plan: LanePlan, of: { replaced: readonly Lane[]; bytes: number }): Promise<SwapWay> {
    const { way, why } = chooseSwap({
      policy: plan.life.swap,
      bytes: of.bytes,
      fileBytes: plan.fileBytes,
      budgetFreeBytes: this.#room.freeBytes,
      availableBytes: await this.#room.availableBytes(),
      mayDrain: of.replaced.every((lane) => !this.#room.isHeld(lane)),
    })
    const replaces = of.replaced.map(({ version }) => version)
    this.#log.info('inference.swap_chosen', { model: plan.model, version: plan.version, replaces, way, why })
    return way
  }

  /** Lets the old lanes finish what they have and go, while requests for the model wait for the new one. */
  async #drain(plan: LanePlan, replaced: readonly Lane[]): Promise<readonly Lane[]> {
    const { table } = this.#parts
    for (const { model, version } of replaced) {
      const reason = `drained to make room for version ${plan.version}, and loaded again if that fails`
      table.set({ model, version, state: 'UNLOADING', reason }, undefined, 'coming')
    }
    const { model, version } = plan
    table.set(
      { model, version, state: 'LOADING', reason: 'waiting for the old version to finish' },
      undefined,
      'coming',
    )
    await Promise.all(replaced.map((lane) => this.#room.close(lane)))
    return replaced
  }

  /** A lane for which there is room, before and after it has shown what it takes. */
  async #open(
    plan: LanePlan,
    of: { bytes: number; kept: readonly Lane[]; isAwaited: boolean },
  ): Promise<Lane> {
    const { table, opening } = this.#parts
    const { model, version } = plan
    const prospect = of.isAwaited || plan.life.isOnDemand ? 'coming' : undefined
    const onStep = (reason: string) => {
      if (table.lane(model, version) === undefined)
        table.set({ model, version, state: 'LOADING', reason }, undefined, prospect)
    }
    onStep('loading')
    await this.#room.make(plan, of.bytes, of.kept)
    const lane = await openLane(plan, opening, onStep)
    try {
      await this.#room.make(plan, lane.memory.bytes, of.kept)
      return lane
    } catch (error) {
      await this.#room.close(lane)
      throw error
    }
  }

  #forgetDrained(drained: readonly Lane[], by: LanePlan, labels: Swap['labels']): void {
    this.#parts.table.followLabels(by, { from: drained.map(({ version }) => version), labels })
    for (const { model, version } of drained) {
      if (version === by.version) continue
      this.#plans.delete(`${model}/${version}`)
      this.#parts.table.set({ model, version, state: 'UNAVAILABLE', reason: 'unloaded' }, undefined)
    }
  }

  /** After a failure: what was drained comes back, and what serves goes on serving. */
  async #recover(plan: LanePlan, drained: readonly Lane[], why: string): Promise<void> {
    const isOld = (lane: Lane) => lane.version === plan.version
    if (!drained.some(isOld)) this.#noteFailure(plan, why)
    for (const lane of drained) {
      const restored = await this.#restore(lane)
      const failed =
        restored === undefined ? '' : `, and what was loaded before could not be loaded again: ${restored}`
      if (isOld(lane)) this.#noteFailure(plan, `${why}${failed}`)
      else if (restored !== undefined) this.#refuse(lane, restored)
    }
  }

  /** Loads a lane again that was drained; why not, when that fails. */
  async #restore(lane: Lane): Promise<string | undefined> {
    const { table, counts } = this.#parts
    const { model, version } = lane
    const plan = this.#plans.get(lane.id)
    if (plan === undefined) return 'it was unloaded meanwhile'
    try {
      const opened = await this.#open(plan, { bytes: lane.memory.bytes, kept: [], isAwaited: true })
      table.set({ model, version, state: 'READY', reason: '' }, opened)
      counts.restores += 1
      this.#log.warn('inference.lane_restored', describe(opened, 'drain'))
      return undefined
    } catch (error) {
      return messageOf(error)
    }
  }

  #noteFailure(plan: LanePlan, why: string): void {
    const { table } = this.#parts
    const { model, version } = plan
    const before = table.lane(model, version)
    if (before === undefined) {
      if (plan.life.isOnDemand) this.#plans.set(idOf(plan), plan)
      this.#refuse(plan, why)
      return
    }
    const reason = `serving what was loaded before, loading again failed: ${why}`
    table.set({ model, version, state: 'READY', reason }, before)
    this.#log.error('inference.reload_failed', { model, version, reason })
  }

  #refuse({ model, version }: { model: string; version: string }, reason: string): void {
    const isOnDemand = this.#plans.get(`${model}/${version}`)?.life.isOnDemand === true
    const prospect = isOnDemand ? 'on_demand' : undefined
    this.#parts.table.set({ model, version, state: 'UNAVAILABLE', reason }, undefined, prospect)
    this.#log.error('inference.model_unavailable', { model, version, reason })
  }

  async #unload(model: string, version: string): Promise<void> {
    const { table, onChange } = this.#parts
    this.#plans.delete(`${model}/${version}`)
    const lane = table.lane(model, version)
    const isKnown = table.status(model, version).state !== 'UNKNOWN'
    if (lane === undefined) {
      // Nor is it loaded for whoever asks next.
      if (isKnown && table.prospect(model, version) !== undefined)
        table.set({ model, version, state: 'UNAVAILABLE', reason: 'unloaded' }, undefined)
      return
    }
    table.set({ model, version, state: 'UNLOADING', reason: 'unloading' }, undefined)
    onChange(model)
    // Where no other version is left nobody finds the way to a sequence in progress: it ends with its lane.
    await (table.versions(model).length > 0 ? this.#room.letGo(lane) : this.#room.close(lane))
    table.set({ model, version, state: 'UNAVAILABLE', reason: 'unloaded' }, undefined)
    this.#log.info('inference.lane_unloaded', { model, version })
  }
}

function failedProviders({ session }: Lane): string[] {
  return session.refusals.filter(({ hasFailed }) => hasFailed).map(({ provider }) => provider)
}

function idOf({ model, version }: { model: string; version: string }): string {
  return `${model}/${version}`
}

/** Its files, and as much on top as the version before it has grown by: the same model is asked the same things. */
function expectedBytes(plan: LanePlan, replaced: readonly Lane[]): number {
  return plan.fileBytes + Math.max(0, ...replaced.map(({ memory }) => memory.grownBytes))
}

function describe(lane: Lane, swap: SwapWay | undefined) {
  const { model, version, session, memory } = lane
  return {
    model,
    version,
    load_ms: Math.round(lane.loadMs),
    memory_bytes: memory.bytes,
    providers: session.providers,
    ...(swap === undefined ? {} : { swap }),
  }
}
