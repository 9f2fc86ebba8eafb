import type { Clock } from '../kit/clock.ts'
import type { Database } from '../kit/database.ts'
import type { Alerts } from './alerts.ts'
import type { Liveness } from './liveness.ts'
import { type VersionResult, versionResults } from './version-results.ts'

export const LIVENESS = ['alive', 'warning', 'offline'] as const
type LivenessName = (typeof LIVENESS)[number]

interface Found {
  readonly ids: readonly string[]
  /** How many are like that in all. */
  readonly total: number
  /** After which id to go on; null: that was the end. */
  readonly next: string | null
}

interface RunningVersion {
  readonly version: string
  readonly devices: number
}

export interface Overview {
  readonly devices: Readonly<Record<LivenessName | 'total', number>>
  readonly models: readonly {
    readonly model: string
    readonly devices: number
    readonly versions: readonly RunningVersion[]
  }[]
}

/** However many watch, the whole fleet is counted once in so long. */
const COUNTED_MS = 1000
/** Of all models together; a fleet may have run any number, and nobody reads more. */
const VERSIONS_MAX = 200

/** The whole fleet, without reading what each device has reported. */
export class FleetView {
  readonly #database: Database
  readonly #clock: Clock
  readonly #liveness: Liveness
  readonly #alerts: Alerts
  #counted: { readonly at: number; readonly overview: Overview } | undefined

  constructor(parts: { database: Database; clock: Clock; liveness: Liveness; alerts: Alerts }) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#liveness = parts.liveness
    this.#alerts = parts.alerts
  }

  /** By id, whose name has that in it and which are as alive as that. */
  page(wanted: { after: string; count: number; search: string; liveness?: LivenessName | undefined }): Found {
    const like = this.#states(wanted.search.toLowerCase()).filter(
      ({ liveness }) => wanted.liveness === undefined || liveness === wanted.liveness,
    )
    const rest = like.filter(({ id }) => id > wanted.after)
    const ids = rest.slice(0, wanted.count).map(({ id }) => id)
    return { ids, total: like.length, next: rest.length > ids.length ? (ids.at(-1) ?? null) : null }
  }

  overview(): Overview {
    const now = this.#clock.elapsed()
    if (this.#counted === undefined || now - this.#counted.at >= COUNTED_MS) {
      this.#counted = { at: now, overview: { devices: this.#countDevices(), models: this.#countVersions() } }
    }
    return this.#counted.overview
  }

  /** How one version does where. */
  results(of: { model: string; version: string; manifest: string }): VersionResult[] {
    return versionResults(this.#database, of)
  }

  #countDevices(): Overview['devices'] {
    const counts = { total: 0, alive: 0, warning: 0, offline: 0 }
    for (const { liveness } of this.#states('')) {
      counts[liveness] += 1
      counts.total += 1
    }
    return counts
  }

  #states(search: string): { id: string; liveness: LivenessName }[] {
    const warned = this.#alerts.devicesWarned()
    return this.#database
      .prepare<[string], { id: string; online: number; seen: number | null }>(
        'SELECT id, online, seen FROM device WHERE instr(id, ?) > 0 ORDER BY id',
      )
      .all(search)
      .map(({ id, online, seen }) => {
        const isAlive = this.#liveness.isAlive({ id, isOnline: online === 1, seen })
        return { id, liveness: isAlive ? (warned.has(id) ? 'warning' : 'alive') : 'offline' }
      })
  }

  /** What most run comes first, of the models and of each one's versions. */
  #countVersions(): Overview['models'] {
    const rows = this.#database
      .prepare<[number], RunningVersion & { model: string }>(
        `SELECT model, running_version AS version, count(*) AS devices FROM device_model
         WHERE running_version IS NOT NULL GROUP BY model, running_version
         ORDER BY devices DESC, model, version LIMIT ?`,
      )
      .all(VERSIONS_MAX)
    return [...Map.groupBy(rows, ({ model }) => model)]
      .map(([model, versions]) => ({
        model,
        devices: versions.reduce((sum, { devices }) => sum + devices, 0),
        versions: versions.map(({ version, devices }) => ({ version, devices })),
      }))
      .sort((one, other) => other.devices - one.devices || one.model.localeCompare(other.model))
  }
}
