/** Sound for tests, samples from -1 to 1: made up, or the one recording in test/data. */
import { assert } from '../../src/kit/assert.ts'

/** About -20 dB, as loud as a fan close by. */
const NOISE_PEAK = 0.1

export function silence(samples: number): Float32Array<ArrayBuffer> {
  return new Float32Array(samples)
}

/** White noise; the same for the same seed. */
export function noise(samples: number, seed: number): Float32Array<ArrayBuffer> {
  const draw = createDraw(seed)
  return Float32Array.from({ length: samples }, () => NOISE_PEAK * (2 * draw() - 1))
}

/** One channel of 16 bits, with the header as sox writes it and nothing else in the file. */
export async function readWav(path: string): Promise<Float32Array<ArrayBuffer>> {
  const bytes = Buffer.from(await Bun.file(path).arrayBuffer())
  const isPlain =
    bytes.toString('latin1', 8, 16) === 'WAVEfmt ' && bytes.toString('latin1', 36, 40) === 'data'
  assert(isPlain && bytes.readUInt16LE(22) === 1 && bytes.readUInt16LE(34) === 16, `"${path}" is plain WAV`)
  const length = bytes.readUInt32LE(40) / 2
  return Float32Array.from({ length }, (_, index) => bytes.readInt16LE(44 + 2 * index) / 32_768)
}

/** Mulberry32: numbers from 0 to 1 that look random, and are the same on every machine. */
function createDraw(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
