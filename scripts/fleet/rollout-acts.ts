/** Acts about rollouts: one that comes to its end, and one of a version that is no good. */
import { POLICY, type Stage, until } from './acts.ts'
import { MODEL } from './central.ts'
import { claim } from './figures.ts'

/** Shares of the fleet; the first is large enough that a few failures are a rate. */
const WAVES = [10, 25, 50, 100].map((percent) => ({ percent, soak_seconds: 2, success_percent_min: 90 }))
const REQUEST = {
  waves: WAVES,
  abort: { failure_percent_max: 10, failures_min: 3, on_abort: 'revert' },
  limits: { starts_per_minute_max: 60_000, downloads_max: 500, offline_seconds: 300 },
}

interface Wave {
  readonly devices: number
  readonly committed: number
  readonly failed: number
}

interface Rollout {
  readonly id: string
  readonly state: string
  readonly wave: number
  readonly waves: readonly Wave[]
  readonly waits_for: string
  readonly transitions: readonly { readonly from: string; readonly to: string; readonly reason: string }[]
}

/** Four waves, the registry killed in the second and the broker in the third. */
export async function rollOut(stage: Stage, version: string): Promise<void> {
  const { central, say } = stage
  const id = await begin(stage, version)
  const restarts = [
    { wave: 1, restart: () => central.restartRegistry(), what: 'registry' },
    { wave: 2, restart: () => central.restartBroker(), what: 'broker' },
  ]
  let seen: Rollout | undefined
  const seconds = await until(
    stage,
    `the rollout of ${version} is done, and all have committed`,
    async () => {
      seen = await look(stage, { id, version })
      claim(
        !['paused', 'aborting', 'aborted', 'reverting', 'reverted'].includes(seen.state),
        `${version} goes on: ${JSON.stringify(seen)}`,
      )
      if (seen.wave === restarts[0]?.wave) await restarts.shift()?.restart()
      // Done is what nine in ten of the last wave have done: the last of them are on trial then.
      return seen.state === 'done' && seen.waves.every(({ devices, committed }) => committed === devices)
    },
    () => seen,
  )
  claim(restarts.length === 0, 'the registry and the broker were killed on the way')
  say('a rollout of four waves, the registry killed in the second and the broker in the third', {
    version,
    seconds,
    waves: seen?.waves.map(({ devices }) => devices),
  })
}

/** Most devices fail it: the first wave is harmed and no other, and all of them are back. */
export async function rollOutBad(stage: Stage, version: string, before: string): Promise<void> {
  const { crew, devices, say } = stage
  const id = await begin(stage, version)
  let seen: Rollout | undefined
  const seconds = await until(
    stage,
    `the rollout of ${version} is taken back`,
    async () => {
      seen = await look(stage, { id, version })
      claim(
        seen.state !== 'done' && seen.state !== 'paused',
        `${version} is stopped: ${JSON.stringify(seen)}`,
      )
      return seen.state === 'reverted'
    },
    () => seen,
  )
  await until(stage, `all run ${before} again`, async () => {
    const now = await crew.look()
    return now.running[`${MODEL}@${before}`] === devices && now.busy === 0 && now.untold === 0
  })
  const histories = Object.values(await crew.tell())
  const touched = histories.filter(({ told }) =>
    told.some((event) => event.startsWith(`${MODEL}@${version} `)),
  )
  const served = histories.filter(({ served: versions }) => versions.includes(`${MODEL}@${version}`))
  const committed = histories.filter(({ told }) =>
    told.some((event) => event.startsWith(`${MODEL}@${version} commit>committed`)),
  )
  const wave = seen?.waves[0]?.devices ?? 0
  say('a bad version, stopped and taken back', {
    version,
    seconds,
    first_wave: wave,
    touched: touched.length,
    served_it: served.length,
    committed_and_taken_back: committed.length,
    reason: seen?.transitions.find(({ to }) => to === 'reverting')?.reason,
  })
  claim(
    seen?.wave === 0 && touched.length <= wave,
    `no device beyond the first wave of ${wave} was touched: ${touched.length} were`,
  )
}

async function begin({ central }: Stage, version: string): Promise<string> {
  const { id } = (await central.ask('POST', '/v1/rollouts', {
    model: MODEL,
    version,
    policy: POLICY,
    ...REQUEST,
  })) as Rollout
  await central.ask('POST', `/v1/rollouts/${id}/start`, {})
  return id
}

/** At no time do more devices run it than are in the waves that have begun. */
async function look(
  { central, crew }: Stage,
  { id, version }: { id: string; version: string },
): Promise<Rollout> {
  // First the devices: the wave only rises, so that one seen later allows more, not less.
  const { running } = await crew.look()
  const rollout = (await central.ask('GET', `/v1/rollouts/${id}`)) as Rollout
  const allowed = rollout.waves.slice(0, rollout.wave + 1).reduce((sum, { devices }) => sum + devices, 0)
  const run = running[`${MODEL}@${version}`] ?? 0
  claim(run <= allowed, `${run} run ${version} in wave ${rollout.wave}, at most ${allowed} may`)
  return rollout
}
