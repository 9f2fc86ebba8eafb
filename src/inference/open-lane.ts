import type { Clock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Backend, ModelSource, Session, SessionOptions, Signature } from '../runtime/backend.ts'
import { DATATYPES } from '../runtime/datatypes.ts'
import { isCpu } from '../runtime/providers.ts'
import { checkSettings, type Expectation } from './check-settings.ts'
import { Lane } from './lane.ts'
import { LaneMemory } from './lane-memory.ts'
import type { LifePolicy } from './life.ts'
import type { ResponseCache } from './response-cache.ts'
import type { Scheduling } from './scheduling.ts'
import type { SequenceModel, SequencePlan } from './sequences/plan.ts'
import { resolveSequences } from './sequences/resolve.ts'
import { presentSession } from './served-session.ts'
import { type WarmUp, warmUp } from './warm-up.ts'

export interface LanePlan {
  readonly model: string
  readonly version: string
  readonly source: ModelSource
  readonly session: SessionOptions
  readonly scheduling: Scheduling
  /** Runs of this version at once; 0 leaves it to the number of threads. */
  readonly instances: number
  /** Answers are kept, where the process has room for that. */
  readonly isCached?: boolean
  /** What the model's config says of its tensors. */
  readonly expected: Expectation
  /** Its requests belong to sequences. */
  readonly sequences?: SequencePlan | undefined
  readonly warmUp: WarmUp
  /** What the version's files come to. */
  readonly fileBytes: number
  readonly life: LifePolicy
}

export interface Opening {
  readonly backend: Backend
  readonly clock: Clock
  readonly runsMax: number
  /** Without it no answers are kept, whatever a model wishes. */
  readonly cache?: ResponseCache | undefined
  /** A version serves without a provider that has to compile it first, until that is done. */
  readonly servesMeanwhile?: boolean
}

/** Loads a version into a lane that is warm and ready to serve, or says why that cannot be. */
export async function openLane(
  plan: LanePlan,
  opening: Opening,
  onStep: (what: string) => void,
): Promise<Lane> {
  onStep('loading')
  const began = opening.clock.elapsed()
  const loaded = await opening.backend.load(plan.source, plan.session, onStep)
  const memory = new LaneMemory(loaded, plan.fileBytes)
  try {
    const sequences = checkPlan(plan, loaded)
    const served = { session: presentSession(loaded, plan.expected), memory, sequences }
    if (plan.warmUp.samples.length > 0) onStep('warming up')
    // On a lane that nobody else sees: what is counted, and which runs are quick, begins with the first request.
    await warmUp(createLane(withoutWaiting(plan), served, opening), plan.warmUp, opening.clock)
    const loadMs = opening.clock.elapsed() - began
    return createLane(plan, { ...served, loadMs }, opening)
  } catch (error) {
    await loaded.close()
    throw error
  }
}

/** A run for itself alone: nobody else comes that it could be put together with, and what was answered is run again. */
function withoutWaiting(plan: LanePlan): LanePlan {
  return { ...plan, isCached: false, scheduling: { ...plan.scheduling, isDynamic: false } }
}

interface Served {
  readonly session: Session
  readonly memory: LaneMemory
  readonly sequences: SequenceModel | undefined
  readonly loadMs?: number
}

/** What its sequences need of the model, where its requests belong to such. */
function checkPlan(plan: LanePlan, session: Session): SequenceModel | undefined {
  const { signature } = session
  const sequences = resolveFor(plan, signature)
  const problems = [
    ...checkSettings(plan.expected, signature),
    ...(sequences?.problems ?? []),
    ...outputProblems(signature),
    ...batchProblems(signature, plan.scheduling),
  ]
  if (problems.length > 0) {
    throw new EdgeError('model_invalid', `Cannot serve "${plan.session.id}": ${problems.join('; ')}`)
  }
  return sequences?.model
}

function resolveFor({ sequences, scheduling }: LanePlan, signature: Signature) {
  return sequences === undefined ? undefined : resolveSequences(sequences, signature, scheduling.batchSizeMax)
}

function createLane(plan: LanePlan, served: Served, opening: Opening): Lane {
  const { model, version, scheduling } = plan
  const { clock, runsMax } = opening
  return new Lane({
    model,
    version,
    ...served,
    clock,
    scheduling,
    runsMax: Math.min(
      plan.instances === 0 ? runsMax : plan.instances,
      served.session.runsMax ?? Number.POSITIVE_INFINITY,
    ),
    mayRunInline: served.session.providers.every(isCpu),
    cache: plan.isCached ? cacheFor(plan, opening) : undefined,
  })
}

function cacheFor({ model, version }: LanePlan, { cache }: Opening): ResponseCache | undefined {
  const reason = 'the model has response_cache, but inference.cache_bytes_max is 0: each request is run'
  if (cache === undefined)
    logger('inference').warn('inference.response_cache_off', { model, version, reason })
  return cache
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
