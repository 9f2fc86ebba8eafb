import type { EnsembleSettings } from './ensemble-settings.ts'
import { SessionSettings } from './session-settings.ts'

type Step = EnsembleSettings['steps'][number]

/** What is wrong, and with which of the steps; undefined: with the ensemble as a whole. */
interface EnsembleProblem {
  readonly step: number | undefined
  readonly what: string
}

interface CheckedEnsemble {
  readonly steps: readonly Step[]
  /** What a request brings; empty where that is whatever no step makes. */
  readonly inputs: readonly string[]
  /** What is answered; empty where that is whatever no step reads. */
  readonly outputs: readonly string[]
}

interface EnsembleModel {
  readonly ensemble?: EnsembleSettings | undefined
  readonly inputs: readonly { readonly name: string; readonly reshape?: unknown }[]
  readonly outputs: readonly { readonly name: string; readonly reshape?: unknown }[]
  readonly batching?: unknown
  readonly instances: number
  readonly response_cache: boolean
  readonly warmup: readonly unknown[]
  readonly sequences?: unknown
  readonly session: SessionSettings
}

interface Issue {
  readonly path: (string | number)[]
  readonly message: string
}

/** What is wrong with a model that is made of others, each at its place in the settings. */
export function ensembleIssues(model: EnsembleModel): Issue[] {
  const { ensemble, inputs, outputs } = model
  if (ensemble === undefined) return []
  const names = (tensors: typeof inputs) => tensors.map(({ name }) => name)
  const problems = checkEnsemble({ steps: ensemble.steps, inputs: names(inputs), outputs: names(outputs) })
  const issues = problems.map(({ step, what }): Issue => {
    if (step === undefined) return { path: ['ensemble'], message: what }
    const message = `step ${step + 1} ("${ensemble.steps[step]?.model}"): ${what}`
    return { path: ['ensemble', 'steps', step], message }
  })
  const isSet = {
    batching: model.batching !== undefined,
    instances: model.instances > 0,
    response_cache: model.response_cache,
    warmup: model.warmup.length > 0,
    sequences: model.sequences !== undefined,
    inputs: [...inputs, ...outputs].some(({ reshape }) => reshape !== undefined),
    session: JSON.stringify(model.session) !== JSON.stringify(SessionSettings.parse({})),
  }
  const ours = Object.entries(isSet).filter(([, is]) => is)
  const message = 'an ensemble runs nothing itself: set it for the models of its steps'
  return [
    ...issues,
    ...ours.map(([name]) => ({ path: [name], message: name === 'inputs' ? `reshape: ${message}` : message })),
  ]
}

/** What of an ensemble cannot work whatever its models are: tensors that lead nowhere or come from nowhere, and circles. */
function checkEnsemble(ensemble: CheckedEnsemble): EnsembleProblem[] {
  const makers = findMakers(ensemble)
  return [
    ...makers.problems,
    ...checkReads(ensemble, makers.of),
    ...checkUse(ensemble, makers.of),
    ...checkCircle(ensemble.steps, makers.of),
  ]
}

/** "ensemble" as whoever sends the request; otherwise the step. */
type Makers = ReadonlyMap<string, number | 'ensemble'>

function findMakers({ steps, inputs }: CheckedEnsemble): { of: Makers; problems: EnsembleProblem[] } {
  const of = new Map<string, number | 'ensemble'>()
  const problems: EnsembleProblem[] = []
  const add = (name: string, maker: number | 'ensemble') => {
    const other = of.get(name)
    const step = maker === 'ensemble' ? undefined : maker
    if (other === undefined) of.set(name, maker)
    else problems.push({ step, what: `tensor "${name}" is made twice, by ${nameMaker(other)} too` })
  }
  for (const name of inputs) add(name, 'ensemble')
  for (const [index, step] of steps.entries()) {
    const made = Object.values(step.outputs)
    if (made.length === 0) problems.push({ step: index, what: 'gives no output, so nothing needs it' })
    for (const name of made) add(name, index)
  }
  return { of, problems }
}

function nameMaker(maker: number | 'ensemble'): string {
  return maker === 'ensemble' ? 'an input of the ensemble' : `step ${maker + 1}`
}

/** Where the inputs are not declared, whatever nobody makes is one. */
function checkReads({ steps, inputs }: CheckedEnsemble, makers: Makers): EnsembleProblem[] {
  if (inputs.length === 0) return []
  return steps.flatMap((step, index) =>
    Object.entries(step.inputs)
      .filter(([, tensor]) => !makers.has(tensor))
      .map(([input, tensor]) => ({
        step: index,
        what: `input "${input}" wants tensor "${tensor}", which no step makes and no input of the ensemble is`,
      })),
  )
}

function checkUse({ steps, inputs, outputs }: CheckedEnsemble, makers: Makers): EnsembleProblem[] {
  const read = new Set(steps.flatMap((step) => Object.values(step.inputs)))
  const unread = inputs
    .filter((name) => !read.has(name))
    .map((name) => ({ step: undefined, what: `input "${name}" is read by no step` }))
  const unmade = outputs
    .filter((name) => typeof makers.get(name) !== 'number')
    .map((name) => ({ step: undefined, what: `output "${name}" is made by no step` }))
  const made = [...makers].filter(([name, maker]) => maker !== 'ensemble' && !read.has(name))
  if (outputs.length === 0)
    return made.length > 0
      ? unread
      : [...unread, { step: undefined, what: 'every tensor is read by a step: nothing is left to answer' }]
  const unused = made
    .filter(([name]) => !outputs.includes(name))
    .map(([name, maker]) => ({
      step: maker === 'ensemble' ? undefined : maker,
      what: `tensor "${name}" is unused: no step reads it and it is no output of the ensemble`,
    }))
  return [...unread, ...unmade, ...unused]
}

/** Takes away what could run, until nothing can: what is left waits for itself. */
function checkCircle(steps: readonly Step[], makers: Makers): EnsembleProblem[] {
  const left = new Set(steps.keys())
  const waitsFor = (index: number) =>
    Object.values(steps[index]?.inputs ?? {})
      .map((name) => makers.get(name))
      .filter((maker) => typeof maker === 'number' && left.has(maker))
  for (let before = -1; before !== left.size; ) {
    before = left.size
    for (const index of left) if (waitsFor(index).length === 0) left.delete(index)
  }
  // Those behind the circle wait as well, but nothing in it waits for them.
  for (let before = -1; before !== left.size; ) {
    before = left.size
    const awaited = new Set([...left].flatMap(waitsFor))
    for (const index of left) if (!awaited.has(index)) left.delete(index)
  }
  const [first] = left
  if (first === undefined) return []
  const names = [...left].map((index) => `step ${index + 1}`).join(', ')
  return [{ step: first, what: `waits for itself: ${names} go round in a circle` }]
}
