/**
 * The n-th bytes of all numbers side by side: n planes of equal size, and after them what is left over when the size is
 * no multiple. One plane is the bytes as they are.
 */
export function splitPlanes(bytes: Uint8Array, planes: number): Uint8Array[] {
  if (planes === 1) return [bytes]
  const size = Math.floor(bytes.length / planes)
  const split = Array.from({ length: planes }, (_, plane) => {
    const taken = new Uint8Array(size)
    for (let to = 0, from = plane; to < size; to++, from += planes) taken[to] = bytes[from] ?? 0
    return taken
  })
  const rest = bytes.subarray(size * planes)
  return rest.length === 0 ? split : [...split, rest]
}

/** Undoes `splitPlanes`, given its planes one after the other. */
export function joinPlanes(split: Uint8Array, planes: number): Uint8Array {
  if (planes === 1) return split
  const size = Math.floor(split.length / planes)
  const bytes = new Uint8Array(split.length)
  for (let plane = 0, from = 0; plane < planes; plane++) {
    for (let to = plane, end = from + size; from < end; from++, to += planes) bytes[to] = split[from] ?? 0
  }
  bytes.set(split.subarray(size * planes), size * planes)
  return bytes
}
