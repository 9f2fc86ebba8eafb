/** Ensembles for tests: by hand, and any that settings let through. */
import fc from 'fast-check'
import type { EnsembleStep } from '../../src/inference/ensemble/plan.ts'

export function step(
  model: string,
  inputs: Record<string, string>,
  outputs: Record<string, string>,
  version?: string,
): EnsembleStep {
  return { model, version, inputs, outputs }
}

interface AnyEnsemble {
  /** Of models "m0", "m1", … with inputs "i0", … and outputs "o0", …; tensors "in0", … come with the request. */
  readonly steps: readonly EnsembleStep[]
  /** Some of what steps make. */
  readonly wanted: readonly string[]
}

/** No circles: a step reads what those before it make, and then the steps are shuffled. */
export const anyEnsemble: fc.Arbitrary<AnyEnsemble> = fc
  .array(
    fc.record({ reads: fc.array(fc.nat(1000), { maxLength: 4 }), makes: fc.integer({ min: 1, max: 3 }) }),
    {
      minLength: 1,
      maxLength: 9,
    },
  )
  .chain((shapes) => {
    const there = ['in0', 'in1']
    const steps = shapes.map(({ reads, makes }, index) => {
      const inputs = reads.map((read, at) => [`i${at}`, there[read % there.length] ?? 'in0'] as const)
      const made = Array.from({ length: makes }, (_, at) => [`o${at}`, `t${index}_${at}`] as const)
      for (const [, name] of made) there.push(name)
      return step(`m${index}`, Object.fromEntries(inputs), Object.fromEntries(made))
    })
    const shuffled = fc.shuffledSubarray(steps, { minLength: steps.length, maxLength: steps.length })
    return fc.record({ steps: shuffled, wanted: fc.shuffledSubarray(there.slice(2)) })
  })
