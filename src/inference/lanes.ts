import type { Clock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import type { Backend, ModelSource, SessionOptions } from '../runtime/backend.ts'
import { Lane } from './lane.ts'
import { compareVersions, latestVersion } from './versions.ts'

/** The states of Triton's repository index. */
type LaneState = 'UNKNOWN' | 'LOADING' | 'READY' | 'UNLOADING' | 'UNAVAILABLE'

export interface LaneStatus {
  readonly model: string
  readonly version: string
  readonly state: LaneState
  /** Why it is not ready; "" when it is. */
  readonly reason: string
}

export interface LanePlan {
  readonly model: string
  readonly version: string
  readonly source: ModelSource
  readonly session: SessionOptions
}

export interface LanesOptions {
  readonly backend: Backend
  readonly clock: Clock
  readonly queueItemsMax: number
  readonly runsMax: number
}

interface Entry {
  status: LaneStatus
  lane: Lane | undefined
}

/** All lanes of this process, and what became of the versions that have none. */
export class Lanes {
  readonly #options: LanesOptions
  readonly #models = new Map<string, Map<string, Entry>>()
  readonly #log: Logger = logger('inference')

  constructor(options: LanesOptions) {
    this.#options = options
  }

  /** Makes a version known that cannot be loaded, so that the index can say why. */
  note(model: string, version: string, reason: string): void {
    this.#set({ model, version, state: 'UNAVAILABLE', reason }, undefined)
    this.#log.error('inference.model_unavailable', { model, version, reason })
  }

  /** Loads a version beside all others; its failure is a state, not an exception. */
  async load(plan: LanePlan): Promise<void> {
    const { model, version } = plan
    const began = this.#options.clock.elapsed()
    this.#set({ model, version, state: 'LOADING', reason: 'loading' }, undefined)
    try {
      const session = await this.#options.backend.load(plan.source, plan.session)
      const { clock, queueItemsMax, runsMax } = this.#options
      const mayRunInline = plan.session.providers.every(({ name }) => name === 'cpu')
      const lane = new Lane({ model, version, session, clock, queueItemsMax, runsMax, mayRunInline })
      this.#set({ model, version, state: 'READY', reason: '' }, lane)
      const loadMs = Math.round(this.#options.clock.elapsed() - began)
      this.#log.info('inference.lane_ready', {
        model,
        version,
        load_ms: loadMs,
        providers: session.providers,
      })
    } catch (error) {
      this.note(model, version, messageOf(error))
    }
  }

  /** The lane of a version, of the latest ready one when none is named. */
  find(model: string, version: string | undefined): Lane {
    const entries = this.#models.get(model)
    if (entries === undefined)
      throw new EdgeError('model_unknown', `Request for unknown model: '${model}' is not found`)
    const wanted = version ?? latestVersion(readyVersions(entries)) ?? latestVersion(entries.keys()) ?? ''
    const entry = entries.get(wanted)
    if (entry === undefined) {
      throw new EdgeError(
        'model_unknown',
        `Request for unknown model: '${model}' version ${wanted} is not found, there is ${[...entries.keys()].join(', ')}`,
      )
    }
    if (entry.lane !== undefined) return entry.lane
    const { state, reason } = entry.status
    throw new EdgeError(
      'model_unavailable',
      `Cannot infer with "${model}/${wanted}": it is ${state}: ${reason}`,
    )
  }

  /** Ready versions of a model, oldest first. */
  versions(model: string): string[] {
    return readyVersions(this.#models.get(model) ?? new Map())
  }

  isReady(model: string, version: string | undefined): boolean {
    const versions = this.versions(model)
    return version === undefined ? versions.length > 0 : versions.includes(version)
  }

  /** Every version that is known, by name and version. */
  index(): LaneStatus[] {
    const statuses = [...this.#models.values()].flatMap((entries) =>
      [...entries.values()].map(({ status }) => status),
    )
    return statuses.sort((a, b) => compareVersions(a.model, b.model) || compareVersions(a.version, b.version))
  }

  /** Lets go of every lane, after its last request. */
  async close(): Promise<void> {
    const lanes = [...this.#models.values()].flatMap((entries) =>
      [...entries.values()].map(({ lane }) => lane),
    )
    this.#models.clear()
    await Promise.all(lanes.map((lane) => lane?.close()))
  }

  #set(status: LaneStatus, lane: Lane | undefined): void {
    const entries = this.#models.get(status.model) ?? new Map<string, Entry>()
    entries.set(status.version, { status, lane })
    this.#models.set(status.model, entries)
  }
}

function readyVersions(entries: ReadonlyMap<string, Entry>): string[] {
  const ready = [...entries].filter(([, { lane }]) => lane !== undefined).map(([version]) => version)
  return ready.sort(compareVersions)
}
