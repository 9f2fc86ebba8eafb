import type { Clock } from '../../kit/clock.ts'
import { type Logger, logger } from '../../kit/log.ts'
import type { Signature } from '../../runtime/backend.ts'
import { Lane } from '../lane.ts'
import type { LaneStatus } from '../lane-table.ts'
import type { Lanes } from '../lanes.ts'
import type { Scheduling } from '../scheduling.ts'
import { circleProblem, depthProblem, membersOf } from './circles.ts'
import { type EnsemblePlan, type Fit, fitEnsemble, type Member } from './fit.ts'
import { EnsembleSession } from './session.ts'

/** Requests are put together by the models of the steps, if at all. */
const BY_ITSELF: Omit<Scheduling, 'batchSizeMax'> = {
  isDynamic: false,
  preferredBatchSizes: [],
  queueDelayMsMax: 0,
  preserveOrdering: false,
  priorityLevels: 1,
  defaultPriorityLevel: 1,
  defaultPolicy: { timeoutMs: 0, timeoutAction: 'reject', mayOverrideTimeout: false, itemsMax: 1 },
  policies: new Map(),
}

/** So many are told: enough to mend it. */
const PROBLEMS_MAX = 20

interface Watched {
  readonly plan: EnsemblePlan
  /** Undefined while a model of its steps is missing. */
  lane: Lane | undefined
  /** Why there is none. */
  reason: string
  /** What the models of its steps were like when they were there last, by model and version. */
  readonly members: Map<string, Member>
}

/**
 * The ensembles of this process. Each is ready exactly while its models are, or come when they are asked for, and fit: all are looked at again after
 * every change of the lanes, within the same turn, so nobody ever sees one ready whose models are gone.
 */
export class Ensembles {
  readonly #lanes: Lanes
  readonly #clock: Clock
  /** By "model/version". */
  readonly #watched = new Map<string, Watched>()
  readonly #log: Logger = logger('inference')
  #isSettling = false
  #isChanged = false

  constructor({ lanes, clock }: { lanes: Lanes; clock: Clock }) {
    this.#lanes = lanes
    this.#clock = clock
    lanes.watch(() => this.#settle())
  }

  /**
   * Serves an ensemble, from now on or from when its models are there. One that is served already goes on being served
   * as it was when the new settings do not fit.
   */
  load(plan: EnsemblePlan): Promise<LaneStatus> {
    return this.#lanes.inTurn(plan.model, plan.version, async () => this.#load(plan))
  }

  /** As `Lanes.unload`, also for an ensemble that waits for its models. */
  async unload(model: string, version: string): Promise<void> {
    const isWaiting = this.#watched.delete(`${model}/${version}`) && !this.#lanes.isReady(model, version)
    if (isWaiting) this.#lanes.place({ model, version, state: 'UNAVAILABLE', reason: 'unloaded' }, undefined)
    await this.#lanes.unload(model, version)
  }

  /** As `Lanes.forget`. */
  forget(model: string, version: string): void {
    if (this.#lanes.isReady(model, version)) return
    this.#watched.delete(`${model}/${version}`)
    this.#lanes.forget(model, version)
  }

  /** Models of an ensemble's steps, once each; none for what is no ensemble. */
  members(model: string): string[] {
    return membersOf(model, this.#known())
  }

  /** Of those, the models that no other ensemble has a step for. */
  ownMembers(model: string): string[] {
    const others = this.#known().filter((plan) => plan.model !== model)
    return this.members(model).filter((member) =>
      others.every(({ steps }) => steps.every((step) => step.model !== member)),
    )
  }

  #load(plan: EnsemblePlan): LaneStatus {
    const { model, version } = plan
    const key = `${model}/${version}`
    const others = this.#known().filter((known) => known.model !== model || known.version !== version)
    const circle = circleProblem(plan, others)
    const members = new Map<string, Member>()
    const fit = circle === undefined ? this.#fit(plan, members) : { problems: [circle] }
    if ('signature' in fit) {
      const watched: Watched = { plan, lane: undefined, reason: '', members }
      this.#watched.set(key, watched)
      this.#serve(watched, fit.signature)
    } else if (this.#lanes.isReady(model, version)) {
      this.#lanes.note(model, version, `serving what was loaded before, ${describe(plan, fit.problems)}`)
    } else {
      const reason = describe(plan, fit.problems)
      // In a circle it would wait for itself.
      if (circle === undefined) this.#watched.set(key, { plan, lane: undefined, reason, members })
      this.#lanes.note(model, version, reason)
    }
    return this.#lanes.status(model, version)
  }

  /** Until nothing changes any more: an ensemble may be a step of another, and none goes round in a circle. */
  #settle(): void {
    this.#isChanged = true
    if (this.#isSettling) return
    this.#isSettling = true
    try {
      while (this.#isChanged) {
        this.#isChanged = false
        for (const [key, watched] of this.#watched) this.#look(key, watched)
      }
    } finally {
      this.#isSettling = false
    }
  }

  #look(key: string, watched: Watched): void {
    const { model, version } = watched.plan
    // Something else is served in its place, or it was unloaded: it is no ensemble of ours any more.
    if (this.#lanes.lane(model, version) !== watched.lane) {
      this.#watched.delete(key)
      return
    }
    const fit = this.#fit(watched.plan, watched.members)
    if ('signature' in fit) {
      const before = watched.lane?.session.signature
      if (before === undefined || !Bun.deepEquals(before, fit.signature)) this.#serve(watched, fit.signature)
      return
    }
    const reason = describe(watched.plan, fit.problems)
    if (watched.lane === undefined && watched.reason === reason) return
    if (watched.lane !== undefined)
      this.#log.warn('inference.ensemble_unavailable', { model, version, reason })
    Object.assign(watched, { lane: undefined, reason })
    this.#lanes.place({ model, version, state: 'UNAVAILABLE', reason }, undefined)
  }

  #fit(plan: EnsemblePlan, members: Map<string, Member>): Fit {
    const deep = depthProblem(plan, this.#known())
    if (deep !== undefined) return { problems: [deep] }
    return fitEnsemble(plan, (model, version) => this.#member(model, version, members))
  }

  /** The lane or, while one is on its way, what the last one was like. */
  #member(model: string, version: string | undefined, members: Map<string, Member>): Member {
    const key = `${model}/${version ?? ''}`
    const known = members.get(key)
    if (known !== undefined && this.#lanes.isAwaited(model, version)) return known
    const { batchSizeMax, session } = this.#lanes.find(model, version)
    const member = { batchSizeMax, session: { signature: session.signature } }
    members.set(key, member)
    return member
  }

  #serve(watched: Watched, signature: Signature): void {
    const { model, version, steps, batchSizeMax } = watched.plan
    const clock = this.#clock
    const obtain = this.#lanes.obtain.bind(this.#lanes)
    const session = new EnsembleSession({ id: `${model}/${version}`, steps, signature, clock, obtain })
    watched.lane = new Lane({
      model,
      version,
      session,
      clock,
      scheduling: { ...BY_ITSELF, batchSizeMax },
      // Its steps wait in the queues of their models, and those have their bounds.
      runsMax: Number.POSITIVE_INFINITY,
      mayRunInline: false,
      platform: 'ensemble',
    })
    watched.reason = ''
    this.#lanes.place({ model, version, state: 'READY', reason: '' }, watched.lane)
    this.#log.info('inference.ensemble_ready', { model, version, models: this.members(model) })
  }

  #known(): EnsemblePlan[] {
    return [...this.#watched.values()].map(({ plan }) => plan)
  }
}

function describe({ model, version }: EnsemblePlan, problems: readonly string[]): string {
  const told = problems.slice(0, PROBLEMS_MAX)
  if (problems.length > told.length) told.push(`and ${problems.length - told.length} more`)
  return `Cannot serve "${model}/${version}": ${told.join('; ')}`
}
