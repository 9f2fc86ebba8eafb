import type { Clock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { type Logger, logger } from '../kit/log.ts'
import type { Backend, ModelSource, Session, SessionOptions, Signature } from '../runtime/backend.ts'
import { DATATYPES } from '../runtime/datatypes.ts'
import { Lane } from './lane.ts'
import type { Scheduling } from './scheduling.ts'
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
  readonly scheduling: Scheduling
  /** Runs of this version at once; 0 leaves it to the number of threads. */
  readonly instances: number
  /** What the model's config says of the model and the model does not: empty when they agree. */
  readonly check: (session: Session) => readonly string[]
}

export interface LanesOptions {
  readonly backend: Backend
  readonly clock: Clock
  readonly runsMax: number
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

/** All lanes of this process, and what became of the versions that have none. */
export class Lanes {
  readonly #options: LanesOptions
  readonly #models = new Map<string, Model>()
  /** The last change asked for, by "model/version". */
  readonly #changes = new Map<string, Promise<void>>()
  readonly #log: Logger = logger('inference')

  constructor(options: LanesOptions) {
    this.#options = options
  }

  /** Makes a version known that cannot be loaded, so that the index can say why. */
  note(model: string, version: string, reason: string): LaneStatus {
    const lane = this.#models.get(model)?.entries.get(version)?.lane
    // What is served goes on being served, whatever has become of its folder.
    const state = lane === undefined ? 'UNAVAILABLE' : 'READY'
    this.#set({ model, version, state, reason }, lane)
    this.#log.error('inference.model_unavailable', { model, version, reason })
    return this.#status(model, version)
  }

  /** Takes back what was noted of a version that is not served. */
  forget(model: string, version: string): void {
    const entries = this.#models.get(model)?.entries
    if (entries?.get(version)?.lane === undefined) entries?.delete(version)
    if (entries?.size === 0) this.#models.delete(model)
  }

  /**
   * Loads a version beside all others, and beside itself when it is being served already: the new lane takes over once
   * it is ready, the old one finishes what it has. What goes wrong is a state and the result, not an exception; a
   * version that was served goes on being served.
   */
  load(plan: LanePlan): Promise<LaneStatus> {
    return this.#inTurn(plan.model, plan.version, () => this.#load(plan))
  }

  /** Takes no more requests for a version, answers those it has, and lets go of it. */
  unload(model: string, version: string): Promise<void> {
    return this.#inTurn(model, version, () => this.#unload(model, version))
  }

  /** One change of a version at a time, in the order in which they were asked for. */
  #inTurn<T>(model: string, version: string, change: () => Promise<T>): Promise<T> {
    const key = `${model}/${version}`
    const before = this.#changes.get(key)
    const turn = before === undefined ? change() : before.then(change)
    const settled = turn.then(
      () => undefined,
      () => undefined,
    )
    this.#changes.set(key, settled)
    void settled.then(() => {
      if (this.#changes.get(key) === settled) this.#changes.delete(key)
    })
    return turn
  }

  async #load(plan: LanePlan): Promise<LaneStatus> {
    const { model, version } = plan
    const before = this.#models.get(model)?.entries.get(version)?.lane
    const began = this.#options.clock.elapsed()
    if (before === undefined) this.#set({ model, version, state: 'LOADING', reason: 'loading' }, undefined)
    const session = await this.#open(plan).catch((error: unknown) => {
      this.#noteFailure(plan, before, messageOf(error))
      return undefined
    })
    if (session === undefined) return this.#status(model, version)
    this.#set({ model, version, state: 'READY', reason: '' }, this.#createLane(plan, session))
    const loadMs = Math.round(this.#options.clock.elapsed() - began)
    this.#log.info('inference.lane_ready', { model, version, load_ms: loadMs, providers: session.providers })
    await before?.close()
    return this.#status(model, version)
  }

  #noteFailure({ model, version }: LanePlan, before: Lane | undefined, why: string): void {
    if (before === undefined) {
      this.note(model, version, why)
      return
    }
    const reason = `serving what was loaded before, loading again failed: ${why}`
    this.#set({ model, version, state: 'READY', reason }, before)
    this.#log.error('inference.reload_failed', { model, version, reason })
  }

  async #unload(model: string, version: string): Promise<void> {
    const lane = this.#models.get(model)?.entries.get(version)?.lane
    if (lane === undefined) return
    this.#set({ model, version, state: 'UNLOADING', reason: 'unloading' }, undefined)
    await lane.close()
    this.#set({ model, version, state: 'UNAVAILABLE', reason: 'unloaded' }, undefined)
    this.#log.info('inference.lane_unloaded', { model, version })
  }

  #createLane(plan: LanePlan, session: Session): Lane {
    const { model, version, scheduling } = plan
    const { clock, runsMax } = this.#options
    return new Lane({
      model,
      version,
      session,
      clock,
      scheduling,
      runsMax: plan.instances === 0 ? runsMax : plan.instances,
      mayRunInline: plan.session.providers.every(({ name }) => name === 'cpu'),
    })
  }

  #status(model: string, version: string): LaneStatus {
    const entry = this.#models.get(model)?.entries.get(version)
    return entry?.status ?? { model, version, state: 'UNKNOWN', reason: 'not known' }
  }

  async #open(plan: LanePlan): Promise<Session> {
    const session = await this.#options.backend.load(plan.source, plan.session)
    const { signature } = session
    const problems = [
      ...plan.check(session),
      ...outputProblems(signature),
      ...batchProblems(signature, plan.scheduling),
    ]
    if (problems.length === 0) return session
    await session.close()
    throw new EdgeError('model_invalid', `Cannot serve "${plan.session.id}": ${problems.join('; ')}`)
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

  isReady(model: string, version: string | undefined): boolean {
    const versions = this.versions(model)
    return version === undefined ? versions.length > 0 : versions.includes(version)
  }

  /** The lanes that serve, by name and version; of one model, or of one version of it, when named. */
  ready(model?: string, version?: string): Lane[] {
    return this.index()
      .filter(
        (status) =>
          (model ?? status.model) === status.model && (version ?? status.version) === status.version,
      )
      .flatMap((status) => this.#models.get(status.model)?.entries.get(status.version)?.lane ?? [])
  }

  /** Every version that is known, by name and version. */
  index(): LaneStatus[] {
    const statuses = this.#entries().map(({ status }) => status)
    return statuses.sort((a, b) => compareVersions(a.model, b.model) || compareVersions(a.version, b.version))
  }

  /** Lets go of every lane, after its last request. */
  async close(): Promise<void> {
    const lanes = this.#entries().map(({ lane }) => lane)
    this.#models.clear()
    await Promise.all(lanes.map((lane) => lane?.close()))
  }

  #entries(): Entry[] {
    return [...this.#models.values()].flatMap(({ entries }) => [...entries.values()])
  }

  #set(status: LaneStatus, lane: Lane | undefined): void {
    const model: Model = this.#models.get(status.model) ?? { entries: new Map(), latest: undefined }
    model.entries.set(status.version, { status, lane })
    const latest = readyVersions(model).at(-1)
    model.latest = latest === undefined ? undefined : model.entries.get(latest)?.lane
    this.#models.set(status.model, model)
  }
}

function readyVersions(model: Model | undefined): string[] {
  const ready = [...(model?.entries ?? [])].filter(([, { lane }]) => lane !== undefined)
  return ready.map(([version]) => version).sort(compareVersions)
}

/** A model without a tensor to answer could never answer. */
function outputProblems({ outputs, unsupportedOutputs }: Signature): string[] {
  if (outputs.length > 0) return []
  const kinds = unsupportedOutputs.map(({ name, kind }) => `"${name}" is a ${kind}`).join(', ')
  return [`none of its outputs is a tensor: ${kinds}`]
}

/** What keeps a model from being run in batches. */
function batchProblems(signature: Signature, { batchSizeMax }: Scheduling): string[] {
  if (batchSizeMax === 0) return []
  return [...signature.inputs, ...signature.outputs].flatMap(({ name, datatype, shape }) => {
    // Items of half bytes cannot be laid side by side.
    const isPacked = datatype !== 'BYTES' && DATATYPES[datatype].bits < 8
    if (isPacked) return `max_batch_size has to be 0: "${name}" is ${datatype}, whose items end within a byte`
    return shape?.length === 0 ? `max_batch_size has to be 0: "${name}" is a scalar, it has no batch` : []
  })
}
