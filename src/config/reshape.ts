/**
 * Triton's `ModelTensorReshape`: clients send and get `dims`, the model has `shape`; neither has the batch dimension.
 * Open dimensions correspond in their order, and between them both have the same number of elements.
 */

/** What is wrong with it, in words that follow the setting's name; undefined when nothing is. */
export function reshapeProblem(dims: readonly number[], shape: readonly number[]): string | undefined {
  const [left, right] = [elementsBetweenOpen(dims), elementsBetweenOpen(shape)]
  if (left.length === right.length && left.every((elements, index) => elements === right[index]))
    return undefined
  return (
    `is [${shape.join(',')}] for dims [${dims.join(',')}], expected as many open dimensions (-1), ` +
    'and as many elements before, between and behind them'
  )
}

function elementsBetweenOpen(sizes: readonly number[]): number[] {
  const products = [1]
  for (const size of sizes) {
    if (size === -1) products.push(1)
    else products.push((products.pop() ?? 1) * size)
  }
  return products
}
