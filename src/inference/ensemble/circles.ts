import type { EnsembleStep } from './plan.ts'

/** Ensembles within ensembles: each is another turn of the event loop for every request. */
const DEPTH_MAX = 8

interface Known {
  readonly model: string
  readonly steps: readonly EnsembleStep[]
}

/** Models of the steps of every version of an ensemble. */
export function membersOf(model: string, known: readonly Known[]): string[] {
  const steps = known.filter((each) => each.model === model).flatMap((each) => each.steps)
  return [...new Set(steps.map((step) => step.model))]
}

/** What is wrong with an ensemble that would be, by way of others, a step of itself. */
export function circleProblem({ model, steps }: Known, others: readonly Known[]): string | undefined {
  const seen = new Set<string>()
  const way = (from: string): string[] | undefined => {
    if (from === model) return [from]
    if (seen.has(from)) return undefined
    seen.add(from)
    for (const member of membersOf(from, others)) {
      const rest = way(member)
      if (rest !== undefined) return [from, ...rest]
    }
    return undefined
  }
  for (const step of steps) {
    const found = way(step.model)
    if (found === undefined) continue
    const names = [model, ...found].map((name) => `"${name}"`).join(' → ')
    return `ensembles go round in a circle: ${names}`
  }
  return undefined
}

/** What is wrong with one that has too many others in each other. Circles have been refused. */
export function depthProblem({ steps }: Known, known: readonly Known[]): string | undefined {
  const depths = new Map<string, number>()
  const depthOf = (model: string): number => {
    const found = depths.get(model)
    if (found !== undefined) return found
    const members = membersOf(model, known)
    const depth = members.length === 0 ? 0 : 1 + Math.max(...members.map(depthOf))
    depths.set(model, depth)
    return depth
  }
  const depth = 1 + Math.max(...steps.map((step) => depthOf(step.model)))
  return depth > DEPTH_MAX ? `ensembles are ${depth} deep in each other, at most ${DEPTH_MAX}` : undefined
}
