/**
 * Kills the agent of the compiled binary at each durable write of each kind of update, one device for each of them, and
 * says how many there were and what became of them. Exits 1 where something was not as it has to be.
 *
 *   bun scripts/kill-matrix.ts [--scenario NAME] [--first 1] [--stride 1] [--width 2]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { killAtEach, Matrix, SCENARIOS, summaryOf } from '../test/flow/kill-matrix.ts'

const { values } = parseArgs({
  options: {
    scenario: { type: 'string' },
    first: { type: 'string', default: '1' },
    stride: { type: 'string', default: '1' },
    width: { type: 'string', default: '2' },
  },
})
const [first, stride, width] = [Number(values.first), Number(values.stride), Number(values.width)]

function choose(points: number): number[] {
  return Array.from(
    { length: Math.ceil((points - first + 1) / stride) },
    (_, index) => first + index * stride,
  )
}

const folder = await mkdtemp(join(tmpdir(), 'limpet-kill-matrix-'))
const matrix = await Matrix.start(folder)
let faults = 0
try {
  for (const scenario of SCENARIOS.filter(({ name }) => (values.scenario ?? name) === name)) {
    const began = performance.now()
    const done = await killAtEach(matrix, scenario, { choose, width, say: console.log })
    faults += done.outcomes.filter(({ fault }) => fault !== undefined).length
    console.log(`${summaryOf(scenario, done)}, ${((performance.now() - began) / 1000).toFixed(0)} s`)
  }
} finally {
  await matrix.stop()
  await rm(folder, { recursive: true, force: true })
}
process.exit(faults === 0 ? 0 : 1)
