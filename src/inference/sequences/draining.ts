import type { Lane } from '../lane.ts'
import type { SequencePart } from './plan.ts'

/** So long may sequences go on in a lane that another has taken over from. */
const DRAIN_MS_MAX = 30_000

/**
 * Lanes that another version has taken over from while sequences were going on in them: these are finished where they
 * began, since no other lane has their state. For so long the old lane stays in memory beside the new one.
 */
export class DrainingLanes {
  readonly #lanes = new Map<Lane, Promise<void>>()
  readonly #drainMsMax: number

  constructor(drainMsMax = DRAIN_MS_MAX) {
    this.#drainMsMax = drainMsMax
  }

  /** Lets go of a lane: resolves when it is closed, or at once where it has to wait for sequences to end. */
  async letGo(lane: Lane): Promise<void> {
    if ((lane.sequences?.size ?? 0) === 0) return await lane.close()
    this.#lanes.set(lane, this.#drain(lane))
  }

  /** Resolves when a lane that waits for sequences to end has gone too. */
  async gone(lane: Lane): Promise<void> {
    await this.#lanes.get(lane)
  }

  /** The lane that a sequence goes on in. */
  find(model: string, version: string | undefined, sequence: SequencePart): Lane | undefined {
    for (const lane of this.#lanes.keys()) {
      const isNamed = lane.model === model && (version ?? lane.version) === lane.version
      if (isNamed && lane.sequences?.isOpen(sequence)) return lane
    }
    return undefined
  }

  /** Ends what still goes on. */
  async close(): Promise<void> {
    const lanes = [...this.#lanes]
    for (const [lane] of lanes) lane.sequences?.shut()
    await Promise.all(lanes.map(([, drained]) => drained))
  }

  async #drain(lane: Lane): Promise<void> {
    lane.sequences?.refuseStarts()
    const { promise: isOver, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, this.#drainMsMax)
    await Promise.race([lane.sequences?.settled(), isOver])
    clearTimeout(timer)
    await lane.close()
    this.#lanes.delete(lane)
  }
}
