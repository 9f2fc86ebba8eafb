/** BF16 is the upper half of an FP32; JavaScript has no typed array for it, as it has for FP16. */
export function encodeBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  return Uint16Array.from(bits, roundToUpperHalf)
}

export function decodeBfloat16(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = Uint32Array.from(halves, (half) => half * 0x1_0000)
  return new Float32Array(bits.buffer)
}

/** To the nearest, ties to even. A carry into the exponent is right: it ends at infinity. */
function roundToUpperHalf(bits: number): number {
  const upper = bits >>> 16
  const isNan = (bits & 0x7fff_ffff) > 0x7f80_0000
  // Rounding a NaN could carry it to infinity or to zero: it is cut off instead, and made quiet.
  if (isNan) return upper | 0x0040
  return (bits + 0x7fff + (upper & 1)) >>> 16
}
