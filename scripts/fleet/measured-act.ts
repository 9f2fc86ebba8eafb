import { COMPARED_MAX, type Stage } from './acts.ts'
import type { Central } from './central.ts'
import { claim } from './figures.ts'

/** One of the series that every device measures. */
const SERIES = 'cpu_percent'
const POINTS_MAX = 2_000

/**
 * What devices have put away is at the registry once. They go on measuring while it is asked: what is there lies between
 * what they had sent before and what they have put away by then.
 */
export async function nothingMeasuredWasLost({ central, crew, devices, say }: Stage): Promise<void> {
  const before = Object.entries(await crew.tell())
  const step = Math.max(1, Math.ceil(devices / COMPARED_MAX))
  const compared = before.filter(([, { arePointsWaiting }], at) => at % step === 0 && !arePointsWaiting)
  const kept = new Map<string, number>()
  for (const [id] of compared) kept.set(id, await pointsOf(central, id))
  const after = await crew.tell()
  for (const [id, { points }] of compared) {
    const [there, most] = [kept.get(id) ?? 0, after[id]?.points ?? 0]
    claim(points <= there && there <= most, `${there} points of ${id} are kept, of ${points} to ${most}`)
  }
  const points = [...kept.values()].reduce((sum, count) => sum + count, 0)
  say('nothing that was measured was lost', { devices_compared: compared.length, points })
  claim(points > 0 && compared.length > 0, 'something was measured')
}

async function pointsOf(central: Central, id: string): Promise<number> {
  const path = `/v1/devices/${id}/telemetry?names=${SERIES}&points_max=${POINTS_MAX}`
  const { series } = (await central.ask('GET', path)) as { series: { points: unknown[] }[] }
  return series.reduce((sum, { points }) => sum + points.length, 0)
}
