/** What a fleet in a box shows, act by act: each prints what it saw, and throws where that is not what was promised. */
import { type Central, MODEL } from './central.ts'
import type { Crew } from './crew.ts'
import { claim, round } from './figures.ts'
import type { Onlooker } from './onlooker.ts'

export interface Stage {
  readonly central: Central
  readonly crew: Crew
  readonly onlooker: Onlooker
  readonly devices: number
  readonly heartbeatSeconds: number
  readonly steadySeconds: number
  /** Of the registry's API, for whoever looks on. */
  readonly p95MsMax: number
  readonly connectsPerSecondMax: number
  readonly say: (act: string, figures: Readonly<Record<string, unknown>>) => void
}

/** As long as the slowest machine that this is run on may take. */
const PATIENCE_MS = 900_000
/** Patient with a busy machine; what is watched here is what is decided, not how fast. */
export const POLICY = { observe_seconds: 1, requests_min: 5, p95_percent_max: 100_000 }
/** Devices whose history is compared with what the registry has heard. */
export const COMPARED_MAX = 1_000
/** Between two looks at all devices: what is watched should not be what keeps the machine busy. */
const LOOK_MS = 250
const LOOK_MS_OF_A_DEVICE = 0.1

export async function until(
  { devices }: Pick<Stage, 'devices'>,
  what: string,
  look: () => Promise<boolean>,
  last?: () => unknown,
): Promise<number> {
  const began = performance.now()
  while (!(await look())) {
    if (performance.now() - began > PATIENCE_MS)
      throw new Error(`Not so after ${PATIENCE_MS / 1000} s: ${what}: ${JSON.stringify(last?.())}`)
    await Bun.sleep(Math.max(LOOK_MS, devices * LOOK_MS_OF_A_DEVICE))
  }
  return round((performance.now() - began) / 1000)
}

/** Every device has a line, and the registry knows. */
export async function allArePresent(stage: Stage, act: string): Promise<void> {
  const { central, crew, devices, say } = stage
  let seen: unknown
  const seconds = await until(
    stage,
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
export async function allRun(stage: Stage, version: string, act: string): Promise<void> {
  const { crew, devices, say } = stage
  let seen: unknown
  const seconds = await until(
    stage,
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

/** The registry while nothing happens but what always does, and how fast it answers whoever looks on. */
export async function steadyState(stage: Stage): Promise<void> {
  const { central, crew, onlooker, steadySeconds, say } = stage
  const [before, sentBefore, mark] = [await central.metrics(), await crew.look(), onlooker.mark]
  const began = performance.now()
  await Bun.sleep(steadySeconds * 1000)
  const seconds = (performance.now() - began) / 1000
  const [after, sent] = [await central.metrics(), await crew.look()]
  const looked = onlooker.figures(mark)
  const received = () =>
    central.metrics().then((metric) => metric('limpet_registry_messages_total{kind="hb"}'))
  await until(
    stage,
    'every heartbeat that was sent has come',
    async () => (await received()) >= sent.heartbeats,
  )
  const missed = (await central.metrics())('limpet_registry_heartbeats_missed_total')
  const share = (seconds_: number) => round((seconds_ / seconds) * 100)
  const taken = (kind: string) => {
    const name = `limpet_registry_messages_total{kind="${kind}"}`
    return after(name) - before(name)
  }
  say('steady state', {
    seconds: Math.round(seconds),
    registry_cpu_percent: share(after('process_cpu_seconds_total') - before('process_cpu_seconds_total')),
    registry_memory_mb: Math.round(after('process_resident_memory_bytes') / 1e6),
    messages_per_second: round(KINDS.reduce((sum, kind) => sum + taken(kind), 0) / seconds),
    heartbeats_sent: sent.heartbeats - sentBefore.heartbeats,
    heartbeats_lost: missed,
    telemetry_messages: taken('tm'),
    api_p95_ms: looked.p95,
    devices_memory_mb: Math.round(sent.residentBytes / 1e6),
    devices_cpu_percent: share(sent.cpuSeconds - sentBefore.cpuSeconds),
    metadata_verified: sent.verified,
  })
  claim(missed === 0, `no heartbeat is lost (${missed} are)`)
  claimFast(stage, looked)
}

const KINDS = ['state', 'hb', 'ev', 'tm', 'req']

/** Whatever went on meanwhile, the times of the registry's death aside. */
export function sayHowItAnswered(stage: Stage): void {
  const { answers, unanswered, p95, max } = stage.onlooker.figures()
  stage.say('whoever looked on', { answers, unanswered, api_p95_ms: p95, longest_ms: max })
  claimFast(stage, { p95 })
}

function claimFast({ p95MsMax }: Stage, { p95 }: { p95: Readonly<Record<string, number>> }): void {
  for (const [path, ms] of Object.entries(p95))
    claim(ms >= 0 && ms <= p95MsMax, `95 of 100 answers to ${path} come within ${p95MsMax} ms (${ms} ms)`)
}

/** The broker is killed and comes back: devices come back too, but not as one. */
export async function reconnectStorm(stage: Stage): Promise<void> {
  const { central, connectsPerSecondMax, say } = stage
  await central.restartBroker()
  await allArePresent(stage, 'back after the broker was killed')
  const connects = await central.connectsBySecond()
  const most = Math.max(0, ...connects)
  say('reconnect storm', {
    connects: connects.reduce((sum, count) => sum + count, 0),
    seconds: connects.length,
    connects_per_second_max: most,
  })
  claim(most <= connectsPerSecondMax, `at most ${connectsPerSecondMax} come in a second (${most} did)`)
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
