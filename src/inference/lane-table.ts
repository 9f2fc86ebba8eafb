import { EdgeError } from '../kit/errors.ts'
import type { Lane } from './lane.ts'
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

interface Entry {
  readonly status: LaneStatus
  readonly lane: Lane | undefined
}

interface Model {
  readonly entries: Map<string, Entry>
  /** Of the ready ones; kept, because every request without a version asks for it. */
  latest: Lane | undefined
}

/** Every version that is known, with its lane where it has one. Nothing here waits: a change is whole when it returns. */
export class LaneTable {
  readonly #models = new Map<string, Model>()

  set(status: LaneStatus, lane: Lane | undefined): void {
    const model: Model = this.#models.get(status.model) ?? { entries: new Map(), latest: undefined }
    model.entries.set(status.version, { status, lane })
    const latest = readyVersions(model).at(-1)
    model.latest = latest === undefined ? undefined : model.entries.get(latest)?.lane
    this.#models.set(status.model, model)
  }

  /** Takes back what is known of a version without a lane. */
  forget(model: string, version: string): void {
    const entries = this.#models.get(model)?.entries
    if (entries?.get(version)?.lane === undefined) entries?.delete(version)
    if (entries?.size === 0) this.#models.delete(model)
  }

  lane(model: string, version: string): Lane | undefined {
    return this.#models.get(model)?.entries.get(version)?.lane
  }

  status(model: string, version: string): LaneStatus {
    const entry = this.#models.get(model)?.entries.get(version)
    return entry?.status ?? { model, version, state: 'UNKNOWN', reason: 'not known' }
  }

  /** The lane of a version, of the latest ready one when none is named. */
  find(name: string, version: string | undefined): Lane {
    const model = this.#models.get(name)
    if (model === undefined) {
      throw new EdgeError('model_unknown', `Request for unknown model: '${name}' is not found`)
    }
    if (version === undefined && model.latest !== undefined) return model.latest
    const wanted = version ?? latestVersion(model.entries.keys()) ?? ''
    const entry = model.entries.get(wanted)
    if (entry === undefined) {
      const known = [...model.entries.keys()].sort(compareVersions).join(', ')
      throw new EdgeError(
        'model_unknown',
        `Request for unknown model: '${name}' version ${wanted} is not found, there is ${known}`,
      )
    }
    if (entry.lane !== undefined) return entry.lane
    const { state, reason } = entry.status
    const id = wanted === '' ? name : `${name}/${wanted}`
    throw new EdgeError('model_unavailable', `Cannot infer with "${id}": it is ${state}: ${reason}`)
  }

  /** Ready versions of a model, oldest first. */
  versions(model: string): string[] {
    return readyVersions(this.#models.get(model))
  }

  /** The lanes that serve, by name and version; of one model, or of one version of it, when named. */
  ready(model?: string, version?: string): Lane[] {
    return this.index()
      .filter(
        (status) =>
          (model ?? status.model) === status.model && (version ?? status.version) === status.version,
      )
      .flatMap((status) => this.lane(status.model, status.version) ?? [])
  }

  /** Every version that is known, by name and version. */
  index(): LaneStatus[] {
    const entries = [...this.#models.values()].flatMap((model) => [...model.entries.values()])
    return entries
      .map(({ status }) => status)
      .sort((a, b) => compareVersions(a.model, b.model) || compareVersions(a.version, b.version))
  }

  clear(): void {
    this.#models.clear()
  }
}

function readyVersions(model: Model | undefined): string[] {
  const ready = [...(model?.entries ?? [])].filter(([, { lane }]) => lane !== undefined)
  return ready.map(([version]) => version).sort(compareVersions)
}
