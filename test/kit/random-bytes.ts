/** As many bytes as wanted from a small seed, the same each time (xorshift32). */
export function randomBytes(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4))
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[index] = state
  }
  return new Uint8Array(words.buffer, 0, length)
}

/** Numbers as the weights of a model are: bell-shaped around zero, in little-endian float32. */
export function randomWeights(count: number, seed: number): Float32Array<ArrayBuffer> {
  const bytes = randomBytes(count * 4 * 4, seed)
  const uniform = new Uint32Array(bytes.buffer)
  return Float32Array.from({ length: count }, (_, index) => {
    // The sum of four is near enough to a bell.
    let sum = 0
    for (let part = 0; part < 4; part++) sum += (uniform[index * 4 + part] ?? 0) / 2 ** 32
    return (sum - 2) * 0.05
  })
}
