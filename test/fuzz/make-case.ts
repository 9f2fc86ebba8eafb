/** The case that a seed and a number stand for. */
import { Random } from '../kit/random.ts'
import { inferCase, oddParametersCase } from './infer-cases.ts'
import { routeCase } from './route-cases.ts'
import { ENCODINGS, FRAMINGS, type WireCase } from './wire-case.ts'

export function makeCase(seed: number, index: number): WireCase {
  const random = new Random(seed, index)
  const choice = random.next()
  const wire = choice < 0.7 ? inferCase(random) : choice < 0.8 ? oddParametersCase(random) : routeCase(random)
  return packOddly(random, wire)
}

/** Compression and framing: most are as usual, and those that lose nothing leave a good request good. */
function packOddly(random: Random, wire: WireCase): WireCase {
  const encoding = random.chance(0.85) ? 'none' : random.pick(ENCODINGS)
  const framing = random.chance(0.85) ? 'length' : random.pick(FRAMINGS)
  if (wire.method === 'GET' && wire.json.length === 0 && framing === 'length') {
    return { ...wire, framing: 'none' }
  }
  const isHarmless =
    (encoding === 'none' || encoding === 'gzip' || encoding === 'deflate') &&
    (framing === 'length' || framing === 'chunked')
  const isGood = wire.isGood && isHarmless
  return { ...wire, encoding, framing, isGood, isEcho: wire.isEcho && isGood }
}
