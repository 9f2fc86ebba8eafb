/** What an ensemble is made of, and what of it one request needs. Nothing here runs anything. */

export interface EnsembleStep {
  readonly model: string
  /** Undefined: the latest that is ready. */
  readonly version: string | undefined
  /** By the model's inputs: the ensemble's tensor that each is given. */
  readonly inputs: Readonly<Record<string, string>>
  /** By the model's outputs: the ensemble's tensor that each becomes. */
  readonly outputs: Readonly<Record<string, string>>
}

/** A step that a request needs, and how long what it gives has to live. */
export interface PlannedStep {
  /** Where it stands in the ensemble, from 0. */
  readonly index: number
  readonly step: EnsembleStep
  /** Of the model: only those that somebody reads. */
  readonly outputs: readonly string[]
  /** Steps that read what it gives, as places in the plan; always behind it. */
  readonly readers: readonly number[]
  /** How many steps have to be done before it. */
  readonly waitsFor: number
  /** The request itself wants some of what it gives. */
  readonly isAnswer: boolean
}

/**
 * The steps without which the wanted tensors cannot be made, each after those that it waits for. Tensors that no step
 * makes come with the request. The steps do not go round in a circle: settings that do are refused.
 */
export function planRun(steps: readonly EnsembleStep[], wanted: readonly string[]): PlannedStep[] {
  const makers = makersOf(steps)
  const order = orderSteps(steps, makers)
  const needed = new Set(wanted)
  const chosen = new Set<number>()
  // From the end: whoever reads a step's tensors has been looked at before the step itself.
  for (const index of order.toReversed()) {
    const step = steps[index]
    if (step === undefined || !Object.values(step.outputs).some((name) => needed.has(name))) continue
    chosen.add(index)
    for (const name of Object.values(step.inputs)) needed.add(name)
  }
  const inOrder = order.filter((index) => chosen.has(index))
  const producers = inOrder.map((index) => producersOf(steps[index], makers))
  return inOrder.map((index, place) => {
    const step = steps[index] as EnsembleStep
    const outputs = Object.entries(step.outputs).filter(([, name]) => needed.has(name))
    return {
      index,
      step,
      outputs: outputs.map(([output]) => output),
      readers: producers.flatMap((of, reader) => (of.has(index) ? [reader] : [])),
      waitsFor: producers[place]?.size ?? 0,
      isAnswer: outputs.some(([, name]) => wanted.includes(name)),
    }
  })
}

/** What comes with a request: read by steps and made by none, in the order in which it is first read. */
export function openTensors(steps: readonly EnsembleStep[]): string[] {
  const makers = makersOf(steps)
  const read = steps.flatMap(({ inputs }) => Object.values(inputs))
  return [...new Set(read)].filter((name) => !makers.has(name))
}

/** What is left at the end: made by steps and read by none. */
export function endTensors(steps: readonly EnsembleStep[]): string[] {
  const read = new Set(steps.flatMap(({ inputs }) => Object.values(inputs)))
  return [...makersOf(steps).keys()].filter((name) => !read.has(name))
}

/** Which step makes a tensor. */
function makersOf(steps: readonly EnsembleStep[]): ReadonlyMap<string, number> {
  return new Map(
    steps.flatMap(({ outputs }, index) => Object.values(outputs).map((name) => [name, index] as const)),
  )
}

function producersOf(step: EnsembleStep | undefined, makers: ReadonlyMap<string, number>): Set<number> {
  return new Set(Object.values(step?.inputs ?? {}).flatMap((name) => makers.get(name) ?? []))
}

/** Each after those whose tensors it reads; otherwise in the order of the settings. */
function orderSteps(steps: readonly EnsembleStep[], makers: ReadonlyMap<string, number>): number[] {
  const order: number[] = []
  const seen = new Set<number>()
  const add = (index: number) => {
    if (seen.has(index)) return
    seen.add(index)
    for (const producer of producersOf(steps[index], makers)) add(producer)
    order.push(index)
  }
  for (const index of steps.keys()) add(index)
  return order
}
