/**
 * Kills the registry of the compiled binary at each durable write while somebody publishes, assigns and enrols, and says
 * how many there were and what became of them. Exits 1 where something was not made good.
 *
 *   bun scripts/kill-registry.ts [--order NAME] [--stride 1] [--device-every 8]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { killAll } from '../test/flow/bench.ts'
import { ORDERS, RegistryKills, summaryOf } from '../test/flow/registry-kills.ts'

const { values } = parseArgs({
  options: {
    order: { type: 'string' },
    stride: { type: 'string', default: '1' },
    'device-every': { type: 'string', default: '8' },
  },
})
const [stride, deviceEvery] = [Number(values.stride), Number(values['device-every'])]

const folder = await mkdtemp(join(tmpdir(), 'limpet-kill-registry-'))
let faults = 0
try {
  const kills = await RegistryKills.prepare(folder)
  for (const order of ORDERS.filter(({ name }) => (values.order ?? name) === name)) {
    const began = performance.now()
    const done = await kills.killAtEach(order, {
      choose: (points) =>
        Array.from({ length: Math.ceil(points / stride) }, (_, index) => 1 + index * stride),
      withDevice: (number) => number % deviceEvery === 1,
    })
    const broken = done.outcomes.filter(({ fault }) => fault !== undefined)
    faults += broken.length
    for (const { number, what, fault } of broken) console.log(`${order.name} ${number} ${what}: ${fault}`)
    console.log(`${summaryOf(order, done)}, ${((performance.now() - began) / 1000).toFixed(0)} s`)
  }
} finally {
  await killAll()
  await rm(folder, { recursive: true, force: true })
}
process.exit(faults === 0 ? 0 : 1)
