import { assert } from '../../kit/assert.ts'
import { EdgeError } from '../../kit/errors.ts'
import type { Signature, TensorSpec } from '../../runtime/backend.ts'
import { isDatatype } from '../../runtime/datatypes.ts'
import { describeSpec } from '../check.ts'
import type { ExpectedTensor } from '../check-settings.ts'
import { type EnsembleStep, endTensors, openTensors } from './plan.ts'

/** An ensemble as its settings have it. */
export interface EnsemblePlan {
  readonly model: string
  readonly version: string
  /** Above 0 the first dimension of every input and output is the batch. */
  readonly batchSizeMax: number
  readonly steps: readonly EnsembleStep[]
  /** What the settings say of a request and of its answer; where that is nothing, the steps say it. */
  readonly inputs: readonly ExpectedTensor[]
  readonly outputs: readonly ExpectedTensor[]
}

/** A model of a step, as far as its tensors go. */
export interface Member {
  readonly batchSizeMax: number
  readonly session: { readonly signature: Signature }
}

const REASON_LENGTH_MAX = 240

export type Fit = { readonly signature: Signature } | { readonly problems: readonly string[] }

/** One place where a tensor enters or leaves a model. */
interface Use {
  readonly tensor: string
  /** Like `input "IMAGE" of step 1 ("detector")`. */
  readonly who: string
  readonly spec: TensorSpec
  /** Has to go with a batch of any size: the ensemble's own, where it has batches. */
  readonly isBatched?: boolean
}

/**
 * Holds an ensemble against the models that serve now: whether each step finds what it needs, whether tensors are of
 * one datatype and shape on their way, and what a request to the whole looks like.
 */
export function fitEnsemble(
  plan: EnsemblePlan,
  find: (model: string, version: string | undefined) => Member,
): Fit {
  const problems: string[] = []
  const [reads, makes]: [Use[], Use[]] = [[], []]
  for (const [index, step] of plan.steps.entries()) {
    const id = `step ${index + 1} ("${step.model}")`
    const member = findMember(step, find)
    if (typeof member === 'string') {
      problems.push(`${id}: ${member}`)
      continue
    }
    problems.push(...stepProblems(step, member, plan).map((what) => `${id}: ${what}`))
    const { inputs, outputs } = member.session.signature
    reads.push(...usesOf(step.inputs, inputs, { kind: 'input', id, member }))
    makes.push(...usesOf(step.outputs, outputs, { kind: 'output', id, member }))
  }
  problems.push(...datatypeProblems([...plan.inputs, ...plan.outputs]))
  if (problems.length > 0) return { problems }
  const inputs = describeInputs(plan, reads)
  const outputs = describeOutputs(plan, makes)
  const isBatched = plan.batchSizeMax > 1
  const own = (kind: string) => (spec: TensorSpec) => {
    return { tensor: spec.name, who: `${kind} "${spec.name}" of the ensemble`, spec, isBatched }
  }
  const given = [...makes, ...inputs.map(own('input'))]
  const found = [...reads, ...outputs.map(own('output'))].flatMap((use) => matchProblems(use, given))
  if (found.length > 0) return { problems: found }
  return { signature: { inputs, outputs, unsupportedOutputs: [] } }
}

function datatypeProblems(tensors: readonly ExpectedTensor[]): string[] {
  const strange = tensors.filter(({ datatype }) => !isDatatype(datatype))
  return strange.map(({ name, datatype }) => `"${datatype}" of tensor "${name}" is no datatype`)
}

function findMember(step: EnsembleStep, find: Parameters<typeof fitEnsemble>[1]): Member | string {
  try {
    return find(step.model, step.version)
  } catch (error) {
    // One whose own models are gone says so at length; how it goes on stands in its own reason.
    if (error instanceof EdgeError) return shorten(error.message)
    throw error
  }
}

function shorten(text: string): string {
  return text.length > REASON_LENGTH_MAX ? `${text.slice(0, REASON_LENGTH_MAX)}…` : text
}

function stepProblems(step: EnsembleStep, member: Member, { batchSizeMax }: EnsemblePlan): string[] {
  const { inputs, outputs } = member.session.signature
  const known = (specs: readonly TensorSpec[]) => specs.map(({ name }) => `"${name}"`).join(', ')
  const strange = (names: string[], specs: readonly TensorSpec[], kind: string) =>
    names
      .filter((name) => specs.every((spec) => spec.name !== name))
      .map((name) => `the model has no ${kind} "${name}", it has ${known(specs)}`)
  const missing = inputs
    .filter(({ name, isOptional }) => !isOptional && !Object.hasOwn(step.inputs, name))
    .map(({ name }) => `the model needs input "${name}", no tensor is given to it`)
  // A model without batches of its own may be in it, as long as its shapes go with any batch.
  const isTooSmall = member.batchSizeMax > 0 && member.batchSizeMax < batchSizeMax
  const size = `the ensemble allows batches of ${batchSizeMax}, the model at most ${member.batchSizeMax}`
  return [
    ...strange(Object.keys(step.inputs), inputs, 'input'),
    ...strange(Object.keys(step.outputs), outputs, 'output'),
    ...missing,
    ...(isTooSmall ? [size] : []),
  ]
}

function usesOf(
  map: Readonly<Record<string, string>>,
  specs: readonly TensorSpec[],
  at: { kind: string; id: string; member: Member },
): Use[] {
  return Object.entries(map).flatMap(([name, tensor]) => {
    const spec = specs.find((each) => each.name === name)
    if (spec === undefined) return []
    return [
      { tensor, who: `${at.kind} "${name}" of ${at.id}`, spec: openBatch(spec, at.member.batchSizeMax) },
    ]
  })
}

/** A model that is built for one batch size takes and gives others all the same: its lane fills them up. */
function openBatch(spec: TensorSpec, batchSizeMax: number): TensorSpec {
  if (batchSizeMax === 0 || spec.shape === undefined) return spec
  return { ...spec, shape: [-1, ...spec.shape.slice(1)] }
}

function describeInputs(plan: EnsemblePlan, reads: readonly Use[]): TensorSpec[] {
  if (plan.inputs.length > 0) return plan.inputs.map((tensor) => toSpec(tensor, plan))
  return openTensors(plan.steps).map((name) => {
    const readers = reads.filter(({ tensor }) => tensor === name)
    const [first] = readers as [Use, ...Use[]]
    const shape = readers.reduce((narrow, { spec }) => narrowShape(narrow, spec.shape), first.spec.shape)
    const isOptional = readers.every(({ spec }) => spec.isOptional)
    return present({ ...first.spec, name, shape, isOptional }, plan)
  })
}

function describeOutputs(plan: EnsemblePlan, makes: readonly Use[]): TensorSpec[] {
  if (plan.outputs.length > 0) return plan.outputs.map((tensor) => toSpec(tensor, plan))
  return endTensors(plan.steps).flatMap((name) => {
    const spec = makes.find(({ tensor }) => tensor === name)?.spec
    return spec === undefined ? [] : [present({ ...spec, name }, plan)]
  })
}

function toSpec({ name, datatype, dims, optional }: ExpectedTensor, plan: EnsemblePlan): TensorSpec {
  const shape = plan.batchSizeMax > 0 ? [-1, ...dims] : [...dims]
  assert(isDatatype(datatype), 'datatypes that are none were refused')
  return { name, datatype, shape, symbols: shape.map(() => ''), isOptional: optional === true }
}

function present(spec: TensorSpec, { batchSizeMax }: EnsemblePlan): TensorSpec {
  const { shape } = openBatch(spec, batchSizeMax)
  return { ...spec, shape, symbols: shape?.map((_, axis) => spec.symbols[axis] ?? '') ?? [] }
}

/** What one of two readers leaves open, the other may fix. */
function narrowShape(a: TensorSpec['shape'], b: TensorSpec['shape']): TensorSpec['shape'] {
  if (a === undefined || b === undefined || a.length !== b.length) return a ?? b
  return a.map((size, axis) => (size === -1 ? (b[axis] ?? -1) : size))
}

/** A tensor that is read has to be what is given: where both say something, they have to say the same. */
function matchProblems(reader: Use, given: readonly Use[]): string[] {
  const giver = given.find(({ tensor }) => tensor === reader.tensor)
  if (giver === undefined) return [`${reader.who}: nothing gives it tensor "${reader.tensor}"`]
  const problems: string[] = []
  if (giver.spec.datatype !== reader.spec.datatype || !shapesMeet(giver, reader)) {
    const [from, to] = [describeSpec(giver.spec), describeSpec(reader.spec)]
    problems.push(`tensor "${reader.tensor}" is ${from} as ${giver.who}, ${to} as ${reader.who}`)
  }
  if (giver.spec.isOptional && !reader.spec.isOptional) {
    problems.push(`${giver.who} is optional, but it is needed as ${reader.who}`)
  }
  return problems
}

function shapesMeet(giver: Use, reader: Use): boolean {
  const [a, b] = [giver.spec.shape, reader.spec.shape]
  if (a === undefined || b === undefined) return true
  if (a.length !== b.length) return false
  // One size is not any size.
  if ((giver.isBatched && b[0] !== -1) || (reader.isBatched && a[0] !== -1)) return false
  return a.every((size, axis) => size === -1 || b[axis] === -1 || size === b[axis])
}
