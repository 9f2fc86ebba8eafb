import { type Address, scoped, stringAt } from './memory.ts'
import type { Ort } from './ort.ts'

/** The API that lets an allocator be asked: ONNX Runtime 1.23. */
const STATS_SINCE = 23

/**
 * What a session has taken from the system for its weights, prepacked ones too, and for running: the CPU arena of ONNX
 * Runtime, which grows to what its largest run wants and keeps it. Undefined where there is no arena that could be
 * asked: an older library, or a session without one.
 */
export function arenaBytes(ort: Ort, session: Address): number | undefined {
  if (ort.apiVersion < STATS_SINCE) return undefined
  const { functions } = ort
  const allocator = ort.out((out) => functions.CreateAllocator(session, ort.cpuMemory, out))
  try {
    const pairs = ort.out((out) => functions.AllocatorGetStats(allocator, out))
    const total = scoped((scope) =>
      stringAt(functions.GetKeyValue(pairs, scope.string('TotalAllocated')) ?? 0),
    )
    functions.ReleaseKeyValuePairs(pairs)
    return /^\d+$/.test(total) ? Number(total) : undefined
  } finally {
    functions.ReleaseAllocator(allocator)
  }
}
