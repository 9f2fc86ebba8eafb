import type { Clock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import type { Lane } from './lane.ts'
import type { LaneTable } from './lane-table.ts'
import type { LifeCounts, LifePolicy } from './life.ts'
import type { LanePlan } from './open-lane.ts'
import { makeRoom, type Resident } from './room.ts'
import type { DrainingLanes } from './sequences/draining.ts'

/** How much memory there is for lanes. */
export interface MemoryBounds {
  /** Of all lanes together; 0 is no bound. */
  readonly bytesMax: number
  /** What the system could still give; infinite where it does not say. */
  readonly availableBytes: () => Promise<number>
}

interface Parts {
  readonly clock: Clock
  readonly memory: MemoryBounds
  readonly table: LaneTable
  readonly counts: LifeCounts
  readonly draining: DrainingLanes
  /** Undefined for what could not be loaded again. */
  readonly lifeOf: (id: string) => LifePolicy | undefined
}

/** What has just been loaded serves at least this long, or as long as loading it took, before it makes room again. */
const TURN_MS_MIN = 100
const TURN_MS_MAX = 2000

/** The memory that lanes are in: who has to go for whom, and when it is free. room.ts decides. */
export class LaneRoom {
  readonly #parts: Parts
  /** Lanes on their way out: their memory is not free before they are gone. */
  readonly #leaving = new Set<Promise<void>>()
  readonly #log: Logger = logger('inference')

  constructor(parts: Parts) {
    this.#parts = parts
  }

  get isBounded(): boolean {
    return this.#parts.memory.bytesMax > 0
  }

  /** What is left of the bound. */
  get freeBytes(): number {
    if (!this.isBounded) return Number.POSITIVE_INFINITY
    const used = this.#parts.table.lanes().reduce((sum, { memory }) => sum + memory.bytes, 0)
    return this.#parts.memory.bytesMax - used
  }

  availableBytes(): Promise<number> {
    return this.#parts.memory.availableBytes()
  }

  /** What could not be loaded again, or goes on with what only it remembers. */
  isHeld(lane: Lane): boolean {
    return this.#parts.lifeOf(lane.id)?.isTransient !== false || (lane.sequences?.size ?? 0) > 0
  }

  /** Lets go of others until so many bytes fit beside those that are kept, or says why they never will. */
  async make(plan: LanePlan, bytes: number, kept: readonly Lane[]): Promise<void> {
    const { memory, clock } = this.#parts
    const need = { bytes, bytesMax: memory.bytesMax }
    for (;;) {
      if (this.isBounded) await Promise.all(this.#leaving)
      const verdict = makeRoom(need, this.#residents(kept), clock.elapsed())
      if ('refuse' in verdict) {
        throw new EdgeError('model_unavailable', `Cannot load "${plan.session.id}": ${verdict.refuse}`)
      }
      if ('waitMs' in verdict) await clock.sleep(Math.ceil(verdict.waitMs))
      else if (verdict.evict.length === 0) return
      else for (const id of verdict.evict) this.#evict(id, { by: plan.session.id, bytes })
    }
  }

  /** Closes a lane, whatever sequences are open in it. */
  close(lane: Lane): Promise<void> {
    return this.#leave(lane, lane.close())
  }

  /** The same, but sequences go on in it for a while; this does not wait for them. */
  async letGo(lane: Lane): Promise<void> {
    const { draining } = this.#parts
    const isClosed = draining.letGo(lane)
    void this.#leave(
      lane,
      isClosed.then(() => draining.gone(lane)),
    )
    await isClosed.catch(() => undefined)
  }

  #residents(kept: readonly Lane[]): Resident[] {
    return this.#parts.table.lanes().map((lane) => {
      const isPinned = this.#parts.lifeOf(lane.id)?.isPinned === true
      return {
        id: lane.id,
        bytes: lane.memory.bytes,
        lastUsedMs: lane.lastUsedMs,
        turnEndsMs: lane.readyMs + Math.min(TURN_MS_MAX, Math.max(TURN_MS_MIN, lane.loadMs)),
        isPinned: isPinned || this.isHeld(lane) || kept.includes(lane),
      }
    })
  }

  /** It takes no more requests from here on; its memory is free when those it has are answered. */
  #evict(id: string, { by, bytes }: { by: string; bytes: number }): void {
    const { table, counts, memory, lifeOf } = this.#parts
    const lane = table.lanes().find((other) => other.id === id)
    if (lane === undefined) return
    const { model, version } = lane
    const reason = `evicted: "${by}" needed ${bytes} of ${memory.bytesMax} bytes (models.memory_bytes_max)`
    const prospect = lifeOf(id)?.isOnDemand === true ? 'on_demand' : undefined
    table.set({ model, version, state: 'UNAVAILABLE', reason }, undefined, prospect)
    counts.evictions += 1
    this.#log.warn('inference.lane_evicted', { model, version, reason, bytes: lane.memory.bytes })
    void this.close(lane)
  }

  /** A lane that cannot be closed is lost, with its memory; nobody else is to fail for that. */
  async #leave({ id }: Lane, closed: Promise<void>): Promise<void> {
    const gone = closed.catch((error: unknown) => {
      this.#log.error('inference.close_failed', { lane: id, reason: messageOf(error) })
    })
    this.#leaving.add(gone)
    await gone
    this.#leaving.delete(gone)
  }
}
