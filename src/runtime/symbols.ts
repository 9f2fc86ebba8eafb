import type { Signature, Tensor } from './backend.ts'

/**
 * Where inputs give one open dimension two sizes, like "n" as 4 in "INPUT0", as 5 in "INPUT1". ONNX Runtime runs such a
 * request as far as it can, and models whose names are carelessly chosen work: so it only explains a run that has failed.
 */
export function findClash(signature: Signature, inputs: readonly Tensor[]): string | undefined {
  const sizes = new Map<string, { size: number; input: string }>()
  for (const { name, shape } of inputs) {
    const symbols = signature.inputs.find((spec) => spec.name === name)?.symbols ?? []
    for (const [axis, symbol] of symbols.entries()) {
      const size = shape[axis]
      if (symbol === '' || size === undefined) continue
      const before = sizes.get(symbol)
      if (before === undefined) sizes.set(symbol, { size, input: name })
      else if (before.size !== size)
        return `"${symbol}" is ${before.size} in input "${before.input}" and ${size} in "${name}"`
    }
  }
  return undefined
}
