/** A tracer that writes into memory: what it has written, by path. */
import { Tracer } from '../../src/http/tracer.ts'
import type { Clock } from '../../src/kit/clock.ts'
import { FakeClock } from './fake-clock.ts'

export function createTracer(
  files: Map<string, string[]> = new Map(),
  options: { clock?: Clock; bytesMax?: number } = {},
): Tracer {
  const write = (path: string, entries: readonly string[]) => {
    files.set(path, [...(files.get(path) ?? []), ...entries])
    return Promise.resolve()
  }
  return new Tracer({ path: 'trace.json', write, clock: new FakeClock(), ...options })
}
