import { EdgeError } from '../kit/errors.ts'
import type { Tensor } from '../runtime/backend.ts'
import { byteLength, elementCount } from '../runtime/datatypes.ts'

/**
 * Several requests as one run: inputs laid one after the other along the first dimension, outputs cut apart again.
 * Row-major order makes that plain concatenation; string tensors too, since each string carries its length.
 */

/** All parts have the same names, datatypes and shapes beyond the first dimension. `padTo`: items in all, 0 for as many as there are. */
export function mergeInputs(parts: readonly (readonly Tensor[])[], padTo: number): Tensor[] {
  const [first = []] = parts
  return first.map((tensor, index) => {
    const pieces = parts.map((part) => part[index] as Tensor)
    const items = pieces.reduce((sum, piece) => sum + (piece.shape[0] ?? 0), 0)
    const total = Math.max(items, padTo)
    const bytes = new Uint8Array(new ArrayBuffer(mergedBytes(pieces, { items, total })))
    let at = 0
    for (const piece of pieces) {
      bytes.set(piece.bytes, at)
      at += piece.bytes.byteLength
    }
    return { ...tensor, shape: [total, ...tensor.shape.slice(1)], bytes }
  })
}

/** Padding is zeros; for strings an empty string, whose length is zero too. */
function mergedBytes(pieces: readonly Tensor[], { items, total }: { items: number; total: number }): number {
  const held = pieces.reduce((sum, piece) => sum + piece.bytes.byteLength, 0)
  const first = pieces[0]
  if (first === undefined || total === items) return held
  const itemElements = elementCount(first.shape.slice(1))
  const itemBytes = first.datatype === 'BYTES' ? 4 * itemElements : byteLength(first.datatype, itemElements)
  return held + (total - items) * itemBytes
}

/** For each part its share of the outputs, as views; what padding gave is left out. */
export function splitOutputs(
  outputs: readonly Tensor[],
  run: { readonly lane: string; readonly sizes: readonly number[]; readonly total: number },
): Tensor[][] {
  const shares: Tensor[][] = run.sizes.map(() => [])
  for (const output of outputs) {
    if (output.shape[0] !== run.total) {
      throw new EdgeError(
        'runtime_failed',
        `Cannot split the answer of "${run.lane}": output "${output.name}" is [${output.shape.join(',')}], expected ` +
          `${run.total} items in front; a model whose outputs do not begin with the batch needs max_batch_size = 0`,
      )
    }
    const ends = itemEnds(output, run)
    for (const [index, size] of run.sizes.entries()) {
      const bytes = output.bytes.subarray(index === 0 ? 0 : ends[index - 1], ends[index])
      shares[index]?.push({ ...output, shape: [size, ...output.shape.slice(1)], bytes })
    }
  }
  return shares
}

/** Where each part's share ends, in bytes. */
function itemEnds(output: Tensor, { sizes, total }: { sizes: readonly number[]; total: number }): number[] {
  const itemElements = elementCount(output.shape.slice(1))
  let items = 0
  if (output.datatype !== 'BYTES') {
    const itemBytes = total === 0 ? 0 : output.bytes.byteLength / total
    return sizes.map((size) => {
      items += size
      return items * itemBytes
    })
  }
  const view = new DataView(output.bytes.buffer, output.bytes.byteOffset, output.bytes.byteLength)
  let at = 0
  return sizes.map((size) => {
    for (let left = size * itemElements; left > 0; left -= 1) at += 4 + view.getUint32(at, true)
    return at
  })
}
