/** What a fleet in a box shows, act by act: each prints what it saw, and throws where that is not what was promised. */
import { type Central, MODEL } from './central.ts'
import type { Crew } from './crew.ts'

export interface Stage {
  readonly central: Central
  readonly crew: Crew
  readonly devices: number
  readonly heartbeatSeconds: number
  readonly steadySeconds: number
  /** Of the registry's API, for whoever looks on. */
  readonly p95MsMax: number
  readonly say: (act: string, figures: Readonly<Record<string, unknown>>) => void
}

/** As long as the slowest machine that this is run on may take. */
const PATIENCE_MS = 900_000
/** Patient with a busy machine; what is watched here is what is decided, not how fast. */
export const POLICY = { observe_seconds: 1, requests_min: 5, p95_percent_max: 100_000 }
/** Devices whose history is compared with what the registry has heard. */
const COMPARED_MAX = 1_000

export function claim(isSo: boolean, what: string): asserts isSo {
  if (!isSo) throw new Error(`Not so: ${what}`)
}

export async function until(
  what: string,
  look: () => Promise<boolean>,
  last?: () => unknown,
): Promise<number> {
  const began = performance.now()
  while (!(await look())) {
    if (performance.now() - began > PATIENCE_MS)
      throw new Error(`Not so after ${PATIENCE_MS / 1000} s: ${what}: ${JSON.stringify(last?.())}`)
    await Bun.sleep(250)
  }
  return Math.round((performance.now() - began) / 100) / 10
}

/** Every device has a line, and the registry knows. */
export async function allArePresent({ central, crew, devices, say }: Stage, act: string): Promise<void> {
  let seen: unknown
  const seconds = await until(
    'all devices are there',
    async () => {
      const [look, metric] = [await crew.look(), await central.metrics()]
      const alive = metric('limpet_fleet_devices{liveness="alive"}')
      seen = { up: look.up, alive }
      return look.up === devices && alive === devices
    },
    () => seen,
  )
  say(act, { devices, all_present_after_seconds: seconds })
}

export async function assign({ central }: Stage, version: string): Promise<void> {
  await central.ask('PUT', '/v1/assignments/all', { models: [{ model: MODEL, version, policy: POLICY }] })
}

/** Until every device runs the version, has committed it, and has been heard. */
export async function allRun({ crew, devices, say }: Stage, version: string, act: string): Promise<void> {
  let seen: unknown
  const seconds = await until(
    `all run ${version}`,
    async () => {
      const look = await crew.look()
      seen = look
      return look.running[`${MODEL}@${version}`] === devices && look.busy === 0 && look.untold === 0
    },
    () => seen,
  )
  say(act, { version, devices, seconds })
}

/** The registry while nothing happens, and how fast it answers whoever looks on. */
export async function steadyState(stage: Stage): Promise<void> {
  const { central, crew, steadySeconds, say } = stage
  const [before, sentBefore] = [await central.metrics(), await crew.look()]
  const began = performance.now()
  const api: Record<string, number[]> = { '/v1/devices?count=100': [], '/v1/overview': [], '/metrics': [] }
  while (performance.now() - began < steadySeconds * 1000) {
    for (const [path, took] of Object.entries(api)) {
      const asked = performance.now()
      const answer = await central.registry.ask('GET', path)
      await answer.arrayBuffer()
      if (answer.status === 200) took.push(performance.now() - asked)
    }
    await Bun.sleep(100)
  }
  const seconds = (performance.now() - began) / 1000
  const [after, sent] = [await central.metrics(), await crew.look()]
  const received = () =>
    central.metrics().then((metric) => metric('limpet_registry_messages_total{kind="hb"}'))
  await until('every heartbeat that was sent has come', async () => (await received()) >= sent.heartbeats)
  const missed = (await central.metrics())('limpet_registry_heartbeats_missed_total')
  const cpu = after('process_cpu_seconds_total') - before('process_cpu_seconds_total')
  const p95 = Object.fromEntries(
    Object.entries(api).map(([path, took]) => [path, Math.round((percentile(took, 0.95) ?? -1) * 10) / 10]),
  )
  say('steady state', {
    seconds: Math.round(seconds),
    registry_cpu_percent: Math.round((cpu / seconds) * 1000) / 10,
    registry_memory_mb: Math.round(after('process_resident_memory_bytes') / 1e6),
    heartbeats_sent: sent.heartbeats - sentBefore.heartbeats,
    heartbeats_lost: missed,
    api_p95_ms: p95,
    devices_memory_mb: Math.round(sent.residentBytes / 1e6),
    devices_cpu_percent: Math.round(((sent.cpuSeconds - sentBefore.cpuSeconds) / seconds) * 1000) / 10,
    metadata_verified: sent.verified,
  })
  claim(missed === 0, `no heartbeat is lost (${missed} are)`)
  for (const [path, ms] of Object.entries(p95))
    claim(ms <= stage.p95MsMax, `95 of 100 answers to ${path} come within ${stage.p95MsMax} ms (${ms} ms)`)
}

/** The broker is killed and comes back: devices come back too, but not as one. */
export async function reconnectStorm(stage: Stage): Promise<void> {
  const { central, say } = stage
  await central.restartBroker()
  await allArePresent(stage, 'back after the broker was killed')
  const connects = await central.connectsBySecond()
  say('reconnect storm', {
    connects: connects.reduce((sum, count) => sum + count, 0),
    seconds: connects.length,
    connects_per_second_max: Math.max(0, ...connects),
  })
}

/**
 * Whatever was restarted meanwhile: each device served what it was to serve, one way or another that is right, and the
 * registry heard it so.
 */
export async function nothingWrongWasDecided(
  { central, crew, devices, say }: Stage,
  right: readonly (readonly string[])[],
): Promise<void> {
  const all = Object.entries(await crew.tell())
  const ways = new Set(right.map((way) => way.map((version) => `${MODEL}@${version}`).join(' ')))
  const strayed = all.filter(([, { served }]) => !ways.has(served.join(' ')))
  claim(
    strayed.length === 0,
    `each served one of ${[...ways].join(', ')}: ${JSON.stringify(strayed.slice(0, 3))}`,
  )
  const step = Math.max(1, Math.ceil(devices / COMPARED_MAX))
  const compared = all.filter((_, at) => at % step === 0)
  for (const [id, { told }] of compared) {
    const heard = await heardOf(central, id)
    claim(
      heard.join('\n') === told.join('\n'),
      `the registry heard of ${id} what it told, once and in order: ${heard.join('; ')} against ${told.join('; ')}`,
    )
  }
  say('nothing wrong was decided', { devices, served: [...ways], histories_compared: compared.length })
}

async function heardOf(central: Central, id: string): Promise<string[]> {
  const { events } = (await central.ask('GET', `/v1/devices/${id}/events?count=1000`)) as {
    events: { body: Record<string, string> }[]
  }
  return events.map(
    ({ body: { model, version, from, to, code } }) => `${model}@${version} ${from}>${to} ${code}`,
  )
}

function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}
