import { findOutputHint } from './hints.ts'
import type { Metadata } from './metadata.ts'
import type { Plan } from './plan.ts'
import { createReader, type Reader, type View } from './reader.ts'
import type { Exchange } from './run.ts'

/** What a run came to. */
export interface Result {
  /** More than one if the server switched during the run. */
  readonly versions: readonly string[]
  readonly tookMs: readonly number[]
  readonly readers: ReadonlyMap<string, Reader>
}

/** Reads each answer as it comes: a long recording has too many to keep. */
export async function collectResult(
  model: Metadata,
  plan: Plan,
  exchanges: AsyncIterable<Exchange>,
): Promise<Result> {
  const versions = new Set<string>()
  const tookMs: number[] = []
  const readers = new Map<string, Reader>()
  const view: View = plan.kind === 'steps' ? plan : {}
  const hidden = new Set(plan.kind === 'steps' ? plan.carried.map(({ output }) => output) : [])
  for await (const { answer, tookMs: roundTripMs } of exchanges) {
    if (answer.version !== undefined) versions.add(answer.version)
    tookMs.push(roundTripMs)
    for (const output of answer.outputs) {
      // State that goes from window to window says nothing to a person.
      if (hidden.has(output.name)) continue
      const reader = readers.get(output.name) ?? createReader(findOutputHint(model, output.name), view)
      reader.add(output)
      readers.set(output.name, reader)
    }
  }
  return { versions: [...versions], tookMs, readers }
}
