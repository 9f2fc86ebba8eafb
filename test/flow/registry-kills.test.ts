/**
 * The registry killed at a durable write, whichever it is, while somebody works with it. A few of the writes here, others
 * for each seed; `scripts/kill-registry.ts` does all of them.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { createFolder } from '../kit/binary.ts'
import { SEED } from '../kit/seed.ts'
import { killAll } from './bench.ts'
import { ORDERS, RegistryKills, summaryOf } from './registry-kills.ts'

// Many processes are started, and a busy machine takes its time.
setDefaultTimeout(300_000)

const SAMPLES = 2

const folder = await createFolder()
let kills: RegistryKills
beforeAll(async () => {
  kills = await RegistryKills.prepare(folder.path)
})
afterAll(async () => {
  await killAll()
  await folder.remove()
})

/** Evenly spread, others for each seed. */
function choose(points: number): number[] {
  const stride = Math.floor(points / SAMPLES)
  return Array.from({ length: SAMPLES }, (_, index) => 1 + (SEED % stride) + index * stride)
}

test.each(ORDERS.map((order) => [order.name, order] as const))(
  'while somebody wants to %s: the same command succeeds afterwards, and a device trusts the registry still',
  async (_, order) => {
    const done = await kills.killAtEach(order, { choose, withDevice: (number) => number === 1 + (SEED % 2) })
    console.log(summaryOf(order, done))
    expect(done.points).toBeGreaterThan(3)
    expect(done.outcomes.filter(({ fault }) => fault !== undefined)).toEqual([])
  },
)
