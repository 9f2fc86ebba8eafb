import { type Batchable, chooseBatch, type Scheduling } from '../scheduling.ts'
import type { DirectStrategy } from './plan.ts'

/** The next request of a sequence that is ready, as far as forming a run is concerned. */
export interface Turn extends Batchable {
  readonly slot: number
}

/** Run these together, in this order; or look again later. */
export type Choice<T> = { readonly run: readonly T[] } | { readonly waitMs: number }

export interface DirectSlots {
  readonly strategy: DirectStrategy
  readonly instances: number
  /** Slots of one instance. */
  readonly width: number
  /** Instances that run already. */
  readonly busy: ReadonlySet<number>
}

/** Slots are given to the instances in turns, so that the first sequences run beside each other. */
export function instanceOf(slot: number, instances: number): number {
  return slot % instances
}

/** Where in a run a slot's item stands. */
export function positionOf(slot: number, instances: number): number {
  return Math.floor(slot / instances)
}

/**
 * Triton's direct strategy. `turns` are in the order in which they became ready. An instance that is free runs what
 * its slots have, each at its place; those whose shapes differ from the first one's wait for the next run. Where a
 * share of the slots is asked for, it waits for that, up to the delay.
 */
export function chooseDirect<T extends Turn>(
  turns: Iterable<T>,
  { strategy, instances, width, busy }: DirectSlots,
  nowMs: number,
): Choice<T> {
  let waitMs = Number.POSITIVE_INFINITY
  for (const [instance, own] of Map.groupBy(turns, ({ slot }) => instanceOf(slot, instances))) {
    if (busy.has(instance)) continue
    const run = own.filter(({ batchKey }) => batchKey === own[0]?.batchKey)
    const oldestMs = own.reduce((oldest, { arrivedMs }) => Math.min(oldest, arrivedMs), nowMs)
    const leftMs = strategy.queueDelayMsMax - (nowMs - oldestMs)
    const isFull = run.length >= strategy.slotUtilizationMin * width
    if (isFull || leftMs <= 0) return { run: run.sort((a, b) => a.slot - b.slot) }
    waitMs = Math.min(waitMs, leftMs)
  }
  return { waitMs }
}

/** Triton's oldest strategy: dynamic batching over the next requests of the sequences, one of each. Looks no further than it has to. */
export function chooseOldest<T extends Turn>(
  turns: Iterable<T>,
  scheduling: Scheduling,
  nowMs: number,
): Choice<T> {
  const seen: T[] = []
  function* remember() {
    for (const turn of turns) {
      seen.push(turn)
      yield turn
    }
  }
  const verdict = chooseBatch(remember(), scheduling, nowMs)
  return 'send' in verdict ? { run: seen.slice(0, verdict.send) } : verdict
}
