/**
 * Killed at a durable write, whichever it is: a verified version serves, the update ends as it would have, and the
 * registry has heard of each state once. A few of the writes here, others for each seed; `scripts/kill-matrix.ts` does
 * all of them.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { createFolder } from '../kit/binary.ts'
import { SEED } from '../kit/seed.ts'
import { Bench } from './bench.ts'
import {
  call,
  checkAnswers,
  checkEvents,
  checkFinalAnswer,
  killAtEach,
  Matrix,
  policyOf,
  SCENARIOS,
  settled,
  summaryOf,
} from './kill-matrix.ts'
import { KillingLine, SERVE_KILLS } from './serve-kills.ts'

// Many processes are started, and a busy machine takes its time.
setDefaultTimeout(300_000)

const SAMPLES = 2
const WIDTH = 2

const folder = await createFolder()
let matrix: Matrix

beforeAll(async () => {
  matrix = await Matrix.start(folder.path)
})

afterAll(async () => {
  await matrix.stop()
  await folder.remove()
})

/** Evenly spread, others for each seed. */
function choose(points: number): number[] {
  const stride = Math.floor(points / SAMPLES)
  return Array.from({ length: SAMPLES }, (_, index) => 1 + (SEED % stride) + index * stride)
}

test.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
  'the agent, in the update "%s"',
  async (_, scenario) => {
    const done = await killAtEach(matrix, scenario, { choose, width: WIDTH, say: console.log })
    console.log(summaryOf(scenario, done))
    expect(done.points).toBeGreaterThan(50)
    expect(done.outcomes.filter(({ fault }) => fault !== undefined)).toEqual([])
  },
)

/** What is answered while the data plane starts. */
const COMING_BACK = /^no answer$|^503: .* is LOADING|^404: .* unknown model/

test.each(SERVE_KILLS.map((kill) => [kill.name, kill] as const))(
  'the data plane, %s: it serves again, and the update ends',
  async (_, { moment, version, policy = {}, ends, code }) => {
    const scenario = { name: 'serve', before: '1', version, ends }
    const device = await matrix.createDevice(scenario, {
      version,
      policy: { ...policyOf(scenario), ...policy },
    })
    const bench = new Bench(device)
    const line = await KillingLine.start(bench, moment)
    const caller = call(bench)
    bench.startAgent()
    const end = await matrix.untilEnded(device, version)
    expect((await matrix.fleet.events(device.name)).at(-1)).toMatchObject({ to: ends, code })
    expect(end).toBe(ends)
    expect(line.kills).toBe(1)
    await settled(device)
    checkFinalAnswer(scenario, await bench.ask())
    checkAnswers(
      scenario,
      (await caller.stop()).filter((answer) => !COMING_BACK.test(answer)),
    )
    await bench.stop()
    await line.stop()
    await checkEvents(matrix.fleet, device, version)
  },
)
