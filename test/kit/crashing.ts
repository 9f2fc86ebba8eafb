/** Kills a process at each of its durable writes in turn: a real process, a real SIGKILL. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SEED } from './seed.ts'

export interface Crashing {
  readonly command: readonly string[]
  readonly env?: Record<string, string>
  /** Where its standard error goes. */
  readonly folder: string
  /** Before each start: the same state each time. */
  readonly prepare?: () => Promise<void>
  /** Only every n-th point; all of them when left out. */
  readonly stride?: number
  /** After each end: what has to be true whatever was written and whatever not. */
  readonly check: (ended: { readonly number: number; readonly what: string }) => Promise<void>
}

const POINTS_MAX = 5_000

/** What each point was called, in order; the last run, which met none, is checked as "end". */
export async function killAtEach(crashing: Crashing): Promise<string[]> {
  const points: string[] = []
  const stride = crashing.stride ?? 1
  for (let number = 1 + (SEED % stride); number <= POINTS_MAX; number += stride) {
    await crashing.prepare?.()
    const what = await killAt(number, crashing)
    await crashing.check({ number, what })
    if (what === 'end') return points
    points.push(what)
  }
  throw new Error(`Still not at its end after ${POINTS_MAX} crash points`)
}

/** What the point was called at which the process ended; "end" where it met fewer. */
export async function killAt(
  number: number,
  crashing: Pick<Crashing, 'command' | 'env' | 'folder'>,
): Promise<string> {
  const log = join(crashing.folder, 'crashing.log')
  const child = Bun.spawn([...crashing.command], {
    env: { ...process.env, ...crashing.env, LIMPET_CRASH_AT: String(number) },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: Bun.file(log),
  })
  const code = await child.exited
  if (code === 0) return 'end'
  const text = readFileSync(log, 'utf8')
  const point = [...text.matchAll(/"what":"([^"]+)","event":"app.crash_point"/g)].at(-1)?.[1]
  if (child.signalCode === 'SIGKILL' && point !== undefined) return point
  throw new Error(`Ended with ${code} instead of a kill at point ${number}: ${text}`)
}
