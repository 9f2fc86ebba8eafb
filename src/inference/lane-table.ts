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

/** What requests for a version without a lane may hope for: it is on its way, or loaded when one of them asks. */
export type Prospect = 'coming' | 'on_demand' | undefined

interface Entry {
  readonly status: LaneStatus
  readonly lane: Lane | undefined
  readonly prospect: Prospect
}

/** A version that a request may wait for. */
export interface Expected {
  readonly version: string
  readonly prospect: 'coming' | 'on_demand'
}

const LABELS_MAX = 64

interface Model {
  readonly entries: Map<string, Entry>
  /** The version that answers where none is named: the latest that is ready or may be hoped for. */
  front: string | undefined
  /** Its lane; kept, because every request without a version asks for it. */
  latest: Lane | undefined
  /** Label → version. */
  labels: ReadonlyMap<string, string>
}

/** Every version that is known, with its lane where it has one. Nothing here waits: a change is whole when it returns. */
export class LaneTable {
  readonly #models = new Map<string, Model>()
  readonly #onChange: () => void

  /** `onChange` is called after each change that a request could notice. */
  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  set(status: LaneStatus, lane: Lane | undefined, prospect?: Prospect): void {
    const model: Model = this.#models.get(status.model) ?? {
      entries: new Map(),
      front: undefined,
      latest: undefined,
      labels: new Map(),
    }
    model.entries.set(status.version, { status, lane, prospect })
    model.front = servedVersions(model, isHopeful).at(-1)
    model.latest = model.entries.get(model.front ?? '')?.lane
    this.#models.set(status.model, model)
    this.#onChange()
  }

  /** Takes back what is known of a version without a lane. */
  forget(model: string, version: string): void {
    const known = this.#models.get(model)
    if (known === undefined || known.entries.get(version)?.lane !== undefined) return
    known.entries.delete(version)
    known.labels = new Map([...known.labels].filter(([, of]) => of !== version))
    known.front = servedVersions(known, isHopeful).at(-1)
    if (known.entries.size === 0) this.#models.delete(model)
    this.#onChange()
  }

  lane(model: string, version: string): Lane | undefined {
    return this.#models.get(model)?.entries.get(version)?.lane
  }

  prospect(model: string, version: string): Prospect {
    return this.#models.get(model)?.entries.get(version)?.prospect
  }

  /** Whether a version is being loaded that requests do not wait for. */
  isLoading(): boolean {
    const entries = [...this.#models.values()].flatMap((model) => [...model.entries.values()])
    return entries.some(({ status, prospect }) => status.state === 'LOADING' && prospect === undefined)
  }

  /** All that serve. */
  lanes(): Lane[] {
    const entries = [...this.#models.values()].flatMap((model) => [...model.entries.values()])
    return entries.flatMap(({ lane }) => lane ?? [])
  }

  status(model: string, version: string): LaneStatus {
    const entry = this.#models.get(model)?.entries.get(version)
    return entry?.status ?? { model, version, state: 'UNKNOWN', reason: 'not known' }
  }

  /** Label → version, by label. */
  labels(model: string): Readonly<Record<string, string>> {
    const labels = [...(this.#models.get(model)?.labels ?? [])]
    return Object.fromEntries(labels.sort(([a], [b]) => compareVersions(a, b)))
  }

  /** Moves all of these labels at once, or none: each may only point at a version that is ready. Null takes one away. */
  moveLabels(model: string, labels: Readonly<Record<string, string | null>>): void {
    const known = this.#models.get(model)
    if (known === undefined) throw unknownModel(model)
    const moved = new Map(known.labels)
    for (const [label, version] of Object.entries(labels)) {
      if (version === null) moved.delete(label)
      else if (isHopeful(known.entries.get(version))) moved.set(label, version)
      else throw notReady(label, this.status(model, version))
    }
    if (moved.size > LABELS_MAX) {
      throw new EdgeError(
        'input_invalid',
        `Cannot label "${model}": ${moved.size} labels, at most ${LABELS_MAX}`,
      )
    }
    known.labels = moved
    this.#onChange()
  }

  /** Labels of versions that made room for this one go where they are to go, if that is here. */
  followLabels(
    to: { readonly model: string; readonly version: string },
    of: { readonly from: readonly string[]; readonly labels: Readonly<Record<string, string>> },
  ): void {
    const known = this.#models.get(to.model)
    if (known === undefined) return
    const moved = [...known.labels].filter(
      ([label, at]) => of.from.includes(at) && of.labels[label] === to.version,
    )
    known.labels = new Map([...known.labels, ...moved.map(([label]) => [label, to.version] as const)])
    this.#onChange()
  }

  /** The same as `find` for requests that can wait: what they may wait for where there is no lane. */
  look(name: string, version: string | undefined): Lane | Expected {
    const model = this.#models.get(name)
    if (version === undefined && model?.latest !== undefined) return model.latest
    if (model !== undefined) {
      const wanted = version === undefined ? (model.front ?? '') : versionOf(model, version)
      const entry = model.entries.get(wanted)
      if (entry?.lane !== undefined) return entry.lane
      if (entry?.prospect !== undefined) return { version: wanted, prospect: entry.prospect }
    }
    return this.find(name, version)
  }

  /** The lane of a version or, where no version has that name, of a label; of the latest ready one when none is named. */
  find(name: string, version: string | undefined): Lane {
    const model = this.#models.get(name)
    if (model === undefined) throw unknownModel(name)
    const latest = version === undefined ? (model.latest ?? latestLane(model)) : undefined
    if (latest !== undefined) return latest
    const wanted = versionOf(model, version ?? model.front ?? latestVersion(model.entries.keys()) ?? '')
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

  /** Whether a version has no lane but may be waited for. */
  isAwaited(name: string, version: string | undefined): boolean {
    const model = this.#models.get(name)
    if (model === undefined) return false
    const entry = model.entries.get(version === undefined ? (model.front ?? '') : versionOf(model, version))
    return entry !== undefined && entry.lane === undefined && entry.prospect !== undefined
  }

  isReady(name: string, version: string | undefined): boolean {
    const model = this.#models.get(name)
    if (model === undefined) return false
    if (version === undefined) return servedVersions(model, hasLane).length > 0
    return model.entries.get(versionOf(model, version))?.lane !== undefined
  }

  /** Ready versions of a model, oldest first. */
  versions(model: string): string[] {
    const known = this.#models.get(model)
    return known === undefined ? [] : servedVersions(known, hasLane)
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

/** A label is only looked for where no version has that name. */
function versionOf({ entries, labels }: Model, wanted: string): string {
  return entries.has(wanted) ? wanted : (labels.get(wanted) ?? wanted)
}

function unknownModel(name: string): EdgeError {
  return new EdgeError('model_unknown', `Request for unknown model: '${name}' is not found`)
}

function notReady(label: string, { model, version, state, reason }: LaneStatus): EdgeError {
  return new EdgeError(
    'input_invalid',
    `Cannot point label "${label}" of "${model}" at version ${version}: it is ${state}${reason === '' ? '' : `: ${reason}`}, expected a version that is READY`,
  )
}

/** For those who only ask about the model: what is there answers them while something newer is on its way. */
function latestLane(model: Model): Lane | undefined {
  return model.entries.get(servedVersions(model, hasLane).at(-1) ?? '')?.lane
}

/** Oldest first. */
function servedVersions(model: Model, isServed: (entry: Entry | undefined) => boolean): string[] {
  const served = [...model.entries].filter(([, entry]) => isServed(entry))
  return served.map(([version]) => version).sort(compareVersions)
}

function hasLane(entry: Entry | undefined): boolean {
  return entry?.lane !== undefined
}

function isHopeful(entry: Entry | undefined): boolean {
  return hasLane(entry) || entry?.prospect !== undefined
}
