/** Many simulated devices in one process; started by `fleet.ts`, which tells it what to do. */
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { setPriority } from 'node:os'
import { openDatabase } from '../src/kit/database.ts'
import { setLogLevel } from '../src/kit/log.ts'
import type { Fate } from './fleet/data-plane.ts'
import { SimulatedDevice } from './fleet/device.ts'
import type { Looked, Order, Reply, Start, Told } from './fleet/protocol.ts'
import { SharedTrust } from './fleet/shared-trust.ts'

setLogLevel('error')

const PAGE_BYTES = 1024
/** Devices have processors of their own: on this machine they must not take what the registry and its broker need. */
const NICENESS = 10
setPriority(NICENESS)

let devices: SimulatedDevice[] = []
let trust: SharedTrust | undefined

const reply = (message: Reply) => process.send?.(message)
const broken = (error: unknown) => {
  const reason = error instanceof Error ? `${error.message} ${error.stack}` : String(error)
  reply({ kind: 'broken', reason })
}

process.on('message', (order: Order) => {
  handle(order).catch(broken)
})
// Nobody is left to tell it to stop.
process.on('disconnect', () => process.exit(1))

async function handle(order: Order): Promise<void> {
  if (order.kind === 'start') await start(order)
  else if (order.kind === 'look') reply(look())
  else if (order.kind === 'tell') reply(tell())
  else {
    for (const device of devices) device.stop()
    process.exit(0)
  }
}

async function start(order: Start): Promise<void> {
  await mkdir(order.folder, { recursive: true })
  const shared = new SharedTrust({ folder: order.folder, database: memory(), root: order.root })
  trust = shared
  devices = order.devices.map(
    (each) =>
      new SimulatedDevice(
        { ...order, ...each, fateOf: (version) => fateOf(each.id, version, order.badVersions) },
        { database: memory(), trust: shared },
      ),
  )
  const beginning = devices.map(async (device, at) => {
    await Bun.sleep((order.spreadMs * at) / devices.length)
    device.run().catch(broken)
  })
  await Promise.all(beginning)
  reply({ kind: 'started' })
}

/** Small pages: of thousands of databases, each has many tables with little in them. */
function memory() {
  const database = openDatabase(':memory:')
  database.pragma(`page_size = ${PAGE_BYTES}`)
  return database
}

function fateOf(id: string, version: string, bad: readonly string[]): Fate {
  if (!bad.includes(version)) return 'good'
  const dice = createHash('sha256').update(`${id} ${version}`).digest()[0] ?? 0
  // Some in eight devices find nothing wrong with it: those have to be told.
  if (dice >= 224) return 'good'
  return dice < 64 ? 'fails_in_probe' : 'fails_on_trial'
}

function look(): Looked {
  const running: Record<string, number> = {}
  for (const { store } of devices) {
    const last = store.served.at(-1)
    const now = last === undefined ? 'nothing' : last
    running[now] = (running[now] ?? 0) + 1
  }
  const { user, system } = process.cpuUsage()
  return {
    kind: 'looked',
    devices: devices.length,
    up: devices.filter(({ link }) => link.isUp).length,
    heartbeats: devices.reduce((sum, { heartbeats }) => sum + heartbeats, 0),
    busy: devices.filter(({ isBusy }) => isBusy).length,
    verified: trust?.verified ?? 0,
    untold: devices.filter(({ isUntold }) => isUntold).length,
    running,
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
  }
}

function tell(): Told {
  return {
    kind: 'told',
    devices: Object.fromEntries(
      devices.map(({ id, told, store, points, telemetry }) => [
        id,
        { told, served: store.served, points, arePointsWaiting: telemetry.waiting.bytes > 0 },
      ]),
    ),
  }
}
