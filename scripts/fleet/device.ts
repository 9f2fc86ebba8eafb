/** A device: the agent's own line, assignments, journal and update machine, over a scripted disk and data plane. */
import { Assignments } from '../../src/app/agent/assignments.ts'
import type { Disk } from '../../src/app/agent/disk.ts'
import { HealthMonitor } from '../../src/app/agent/health-monitor.ts'
import { readStatus } from '../../src/app/agent/status.ts'
import { systemClock } from '../../src/kit/clock.ts'
import type { Database } from '../../src/kit/database.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { Link } from '../../src/link/link.ts'
import { Outbox } from '../../src/link/outbox.ts'
import { TelemetryOutbox } from '../../src/link/telemetry-outbox.ts'
import { DEFAULT_PREFIX } from '../../src/link/topics.ts'
import { Journal } from '../../src/ota/journal.ts'
import { isWorking, type State } from '../../src/ota/machine.ts'
import { createSteps } from '../../src/ota/steps.ts'
import { Turns } from '../../src/ota/turns.ts'
import type { UpdateEvent } from '../../src/ota/update.ts'
import { Updates } from '../../src/ota/updates.ts'
import { decodeChunk } from '../../src/store/chunks/stored-chunk.ts'
import { ScriptedBoard } from './board.ts'
import { type Fate, ScriptedProbe, ScriptedServe, ScriptedStore } from './data-plane.ts'
import type { SharedTrust } from './shared-trust.ts'

const STATE_MS = 1_000
const POLL_MS = 300_000
const EVENTS_MAX = 100
/** Twice in the minute that is put away as one batch; a real device looks more often, and sends no more for it. */
const SAMPLE_SECONDS = 30
const POINTS_SECONDS = 60

export interface DeviceOptions {
  readonly id: string
  readonly secret: string
  readonly mqttUrl: string
  readonly httpUrl: string
  readonly heartbeatSeconds: number
  /** What it calls its hardware. */
  readonly hardware: string
  readonly fateOf: (version: string) => Fate
}

export class SimulatedDevice {
  readonly id: string
  readonly store = new ScriptedStore()
  /** What it has told, in order: "model@version from>to code". */
  readonly told: string[] = []
  readonly link: Link
  readonly outbox: Outbox
  readonly telemetry: TelemetryOutbox
  readonly journal: Journal
  heartbeats = 0
  /** Of one series that it measures, put away to be sent. */
  points = 0
  readonly #options: DeviceOptions
  readonly #stop = new AbortController()
  readonly #trust: SharedTrust
  readonly #updates: Updates
  readonly #assignments: Assignments
  readonly #health: HealthMonitor
  /** Models of which an update is on its way. */
  readonly #working = new Set<string>()
  #described: object = {}
  #changed = new AbortController()

  constructor(options: DeviceOptions, { database, trust }: { database: Database; trust: SharedTrust }) {
    this.id = options.id
    this.#options = options
    this.outbox = new Outbox({ database, clock: systemClock, random: systemRandom })
    this.journal = new Journal({ database, clock: systemClock, outbox: { put: (event) => this.#put(event) } })
    this.telemetry = new TelemetryOutbox({ database, clock: systemClock, events: this.outbox })
    this.#health = this.#createHealth()
    this.link = this.#createLink()
    this.#trust = trust
    const shared = trust.of(this.link)
    const engine = {
      clock: systemClock,
      random: systemRandom,
      journal: this.journal,
      turns: new Turns(),
      trust: shared,
      store: this.store,
      host: {
        hardware: { names: [options.hardware], providers: ['cpu'] },
        freeMemoryBytes: () => Promise.resolve(2 ** 33),
      },
      probe: new ScriptedProbe(options.fateOf),
      serve: new ScriptedServe(options.fateOf),
      gate: { inhibited: () => Promise.resolve(undefined), isApproved: () => true },
    }
    this.#updates = new Updates({ ...engine, steps: createSteps(engine), stop: this.#stop.signal })
    this.#assignments = new Assignments({
      device: options.id,
      clock: systemClock,
      journal: this.journal,
      updates: this.#updates,
      refresh: (signal) => shared.refresh(signal),
      fetchAssignment: (bytesMax, signal) => this.link.fetchAssignment(bytesMax, signal),
      onTaken: (rev) => this.link.knowRev(rev),
      everyMs: POLL_MS,
    })
  }

  async run(): Promise<void> {
    this.link.onDesired(() => this.#assignments.wake())
    this.link.onMetadata(() => this.#assignments.wake())
    this.#described = await this.#describe()
    const { signal } = this.#stop
    await Promise.all([
      this.link.run(signal),
      this.#updates.run(),
      this.#assignments.run(signal),
      this.#reportChanges(),
      this.#health.run(signal),
    ])
  }

  stop(): void {
    this.#stop.abort()
  }

  /** Looked at for thousands of devices several times a second: by what they have told, not in their journals. */
  get isBusy(): boolean {
    return this.#working.size > 0
  }

  /** Whether the registry has not said yet that it has everything. */
  get isUntold(): boolean {
    return this.outbox.bytes > 0
  }

  #put(event: object): void {
    const { model, version, from, to, code } = event as UpdateEvent
    this.told.push(`${model}@${version} ${from}>${to} ${code}`)
    if (this.told.length > EVENTS_MAX) this.told.shift()
    if (isWorking(to as State)) this.#working.add(model)
    else this.#working.delete(model)
    this.outbox.put(event)
    this.#changed.abort()
  }

  #createHealth(): HealthMonitor {
    return new HealthMonitor({
      clock: systemClock,
      sampler: new ScriptedBoard(systemRandom),
      rules: [],
      book: { load: () => new Map(), save: () => undefined },
      telemetry: {
        put: (batch) => {
          this.points += batch.series[0]?.points.length ?? 0
          this.telemetry.put(batch)
        },
      },
      sampleSeconds: SAMPLE_SECONDS,
      pointsSeconds: POINTS_SECONDS,
      onAlert: () => undefined,
    })
  }

  #createLink(): Link {
    const { id, secret, mqttUrl, httpUrl, heartbeatSeconds } = this.#options
    return new Link({
      options: {
        device: id,
        secret,
        mqttUrl,
        httpUrl,
        prefix: DEFAULT_PREFIX,
        tls: {},
        payloadBytesMax: 122_880,
        keepaliveSeconds: 60,
        heartbeatSeconds,
        bandwidth: { bytesPerSecond: undefined, hours: [] },
        transports: ['http', 'mqtt'],
        idleSecondsMax: 300,
      },
      clock: systemClock,
      random: systemRandom,
      outbox: this.outbox,
      telemetry: this.telemetry,
      decode: decodeChunk,
      describe: () => this.#described,
      live: () => {
        this.heartbeats += 1
        return this.#health.live
      },
    })
  }

  async #describe(): Promise<object> {
    const { id, httpUrl, hardware } = this.#options
    const status = await readStatus({
      enrolment: { format: 1, registry: httpUrl, device: id, secret: '', mqtt_url: '', root: {} },
      hardware: { names: [hardware], providers: ['cpu'] },
      highWater: this.#trust.highWater,
      disk: { journal: this.journal } as Disk,
      store: this.store,
      isLinkUp: this.link.isUp,
      advertiseUrl: `http://${id}.fleet.example:8000`,
      view: this.#assignments.view,
      progress: (model) => this.#updates.progress(model),
      board: undefined,
      alerts: [],
      sourcesSkipped: [],
      lastInferenceMs: () => undefined,
      nodes: () => undefined,
    })
    return { ...status, hardware_class: hardware }
  }

  /** As the agent does: what the device is like, whenever that has changed, and not too often. */
  async #reportChanges(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      this.#changed = new AbortController()
      this.#described = await this.#describe()
      await this.link.reportState().catch(() => undefined)
      await systemClock.sleep(STATE_MS, signal)
      if (this.#changed.signal.aborted) continue
      await new Promise<void>((resolve) => {
        const either = AbortSignal.any([this.#changed.signal, signal])
        if (either.aborted) resolve()
        either.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }
}
