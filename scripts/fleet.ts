/**
 * A fleet in a box: `bun scripts/fleet.ts [--devices 1000] [--workers N] [--heartbeat-seconds 30] [--steady-seconds 60]
 * [--p95-ms-max 200] [--connects-per-second-max 400]
 * [--without-second] [--minutes-max 20] [--json]`.
 * The compiled registry and Debian's Mosquitto on loopback, and devices that are the real agent's line, trust, journal and
 * update machine over a scripted disk and data plane, many to a process. Each act prints what it saw as a line; the
 * exit code is 1 where it is not what was promised.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  allArePresent,
  allRun,
  assign,
  nothingWrongWasDecided,
  reconnectStorm,
  type Stage,
  sayHowItAnswered,
  steadyState,
} from './fleet/acts.ts'
import { Central } from './fleet/central.ts'
import { Crew } from './fleet/crew.ts'
import { nothingMeasuredWasLost } from './fleet/measured-act.ts'
import { Onlooker } from './fleet/onlooker.ts'
import { rollOut, rollOutBad } from './fleet/rollout-acts.ts'

const { values } = parseArgs({
  options: {
    devices: { type: 'string', default: '1000' },
    workers: { type: 'string' },
    'heartbeat-seconds': { type: 'string', default: '30' },
    'steady-seconds': { type: 'string', default: '60' },
    'p95-ms-max': { type: 'string', default: '200' },
    'connects-per-second-max': { type: 'string', default: '400' },
    'without-second': { type: 'boolean', default: false },
    'minutes-max': { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
  },
})
const devices = Number(values.devices)
const workers = Number(values.workers ?? Math.max(2, Math.ceil(devices / 2_000)))
const heartbeatSeconds = Number(values['heartbeat-seconds'])
/** Devices come for the first time at so many a second. */
const ARRIVALS_PER_SECOND = 200
/** What is assigned to all, one after the other. */
const assigned = values['without-second'] ? ['1'] : ['1', '2']
/** That fails on most devices. */
const BAD = '4'

const folder = await mkdtemp(join(tmpdir(), 'limpet-fleet-'))
const crew = new Crew()
let central: Central | undefined
let code = 0
try {
  central = await Central.start(folder)
  await Promise.race([show(central), givenUp()])
} catch (error) {
  code = 1
  console.error(error instanceof Error ? (error.stack ?? error.message) : String(error))
} finally {
  await crew.stop()
  await central?.stop()
  await rm(folder, { recursive: true, force: true })
}
process.exit(code)

/** A run that hangs ends, and says so. */
async function givenUp(): Promise<never> {
  const minutes = Number(values['minutes-max'])
  await Bun.sleep(minutes * 60_000)
  throw new Error(`Not done after ${minutes} minutes`)
}

async function show(at: Central): Promise<void> {
  const stage: Stage = {
    central: at,
    crew,
    devices,
    heartbeatSeconds,
    steadySeconds: Number(values['steady-seconds']),
    onlooker: new Onlooker(at),
    p95MsMax: Number(values['p95-ms-max']),
    connectsPerSecondMax: Number(values['connects-per-second-max']),
    say,
  }
  const began = performance.now()
  const enrolled = await at.enrol(
    Array.from({ length: devices }, (_, index) => `sim-${String(index).padStart(5, '0')}`),
  )
  say('enrolled', { devices, seconds: Math.round((performance.now() - began) / 100) / 10 })
  for (const [index, version] of ['1', '2', '3', BAD].entries()) await at.publish(version, index + 1)
  await at.moveToMosquitto()
  await crew.start(enrolled, {
    folder,
    workers,
    mqttUrl: at.broker?.url ?? '',
    httpUrl: at.registry.url,
    root: at.root,
    heartbeatSeconds,
    spreadMs: (devices / ARRIVALS_PER_SECOND) * 1000,
    badVersions: [BAD],
  })
  stage.onlooker.start()
  await allArePresent(stage, 'arrived')
  await assign(stage, '1')
  await allRun(stage, '1', 'a first version on all')
  await steadyState(stage)
  if (!values['without-second']) {
    await assign(stage, '2')
    await at.restartRegistry()
    await allRun(stage, '2', 'a second version on all, and the registry killed in the middle')
  }
  await reconnectStorm(stage)
  await rollOut(stage, '3')
  await rollOutBad(stage, BAD, '3')
  await nothingWrongWasDecided(stage, [
    [...assigned, '3'],
    [...assigned, '3', BAD, '3'],
  ])
  await nothingMeasuredWasLost(stage)
  await stage.onlooker.stop()
  sayHowItAnswered(stage)
}

function say(act: string, figures: Readonly<Record<string, unknown>>): void {
  if (values.json) {
    console.log(JSON.stringify({ act, ...figures }))
    return
  }
  const words = Object.entries(figures).map(
    ([name, figure]) => `${name} ${typeof figure === 'object' ? JSON.stringify(figure) : figure}`,
  )
  console.log(`${act}: ${words.join(', ')}`)
}
