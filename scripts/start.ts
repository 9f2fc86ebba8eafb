/**
 * A whole fleet on one machine, for a first look: a registry with its broker, and a device that gets the sample models
 * from it over the air. `bun scripts/start.ts [ARGS for "limpet up"…]`; what it makes is below `.limpet/`, or LIMPET_STATE.
 * Each step leaves alone what is already right, so that the second start takes seconds.
 */
import { existsSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { differenceFirst } from '../test/kit/model-zoo.ts'

const ROOT = join(import.meta.dir, '..')
const BINARY = join(ROOT, `dist/limpet-linux-${process.arch}`)
const STATE = process.env['LIMPET_STATE'] ?? join(ROOT, '.limpet')
const REGISTRY = join(STATE, 'registry')
const DEVICE = join(STATE, 'device')
const OPERATOR = join(STATE, 'operator')
const DEVICE_NAME = 'first-device'
const START_MS_MAX = 60_000
const ARRIVE_MS_MAX = 180_000
/** A real fleet watches a new version for a quarter of an hour before it counts. */
const OBSERVE_SECONDS = 2

/** The sample models and the families that they are published in. */
const SAMPLES = [
  ['demo', 'simple'],
  ['audio', 'silero-vad'],
  ['vision', 'text-orientation'],
  ['vision', 'text-detector'],
] as const

const say = (line: string) => console.log(`       ${line}`)
const children: Bun.Subprocess[] = []

async function main(upArgs: readonly string[]): Promise<number> {
  await mkdir(STATE, { recursive: true })
  const url = await startRegistry(await choosePorts())
  const operator = createOperator(url)
  await publishSamples(operator)
  await enrolDevice(operator, url)
  const up = await start(['up', '--state', DEVICE, ...upArgs], /serves \d+ of \d+ models on (http\S+)\n/)
  await waitForModels(up.match)
  await writeNext()
  await announce({ registry: url, device: up.match })
  return await up.child.exited
}

/** The same ones at every start: the device knows its registry by them. */
async function choosePorts(): Promise<{ http: number; mqtt: number }> {
  const file = Bun.file(join(STATE, 'ports.json'))
  if (await file.exists()) return (await file.json()) as { http: number; mqtt: number }
  const ports = { http: await freePort(8100), mqtt: await freePort(1883) }
  await Bun.write(file, JSON.stringify(ports))
  return ports
}

/** The wanted one, or any where that is taken. */
function freePort(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', () => (wanted === 0 ? reject(new Error('No port is free')) : resolve(freePort(0))))
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

async function startRegistry({ http, mqtt }: { http: number; mqtt: number }): Promise<string> {
  const ports = ['--port', String(http), '--mqtt-port', String(mqtt)]
  const { match } = await start(
    ['registry', '--state', REGISTRY, '--dev-keys', ...ports],
    /registry on (http\S+),/,
  )
  say(`registry on ${match}, its broker on port ${mqtt}`)
  return match
}

type Operator = (...args: readonly string[]) => Promise<string>

/** Runs a command of the binary to its end, as the person who made the registry. */
function createOperator(url: string): Operator {
  return async (...args) => {
    const env = { ...operatorEnvironment(url), PATH: process.env['PATH'] ?? '' }
    const child = Bun.spawn([BINARY, ...args], { env, stdin: 'ignore', stderr: 'pipe' })
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ])
    if (code === 0) return stdout
    throw new Error(`Cannot go on: "limpet ${args[0]}" ended with exit code ${code}: ${stderr}`)
  }
}

function operatorEnvironment(url: string): Record<string, string> {
  return {
    LIMPET_STATE: OPERATOR,
    LIMPET_REGISTRY: url,
    LIMPET_API_KEY_FILE: join(REGISTRY, 'admin.key'),
  }
}

async function publishSamples(operator: Operator): Promise<void> {
  const root = ['--root', join(REGISTRY, 'development-keys/root.json')]
  const listed = JSON.parse(await operator('model', 'list', '--json', ...root)) as { model: string }[]
  for (const [family, name] of SAMPLES) {
    if (listed.some(({ model }) => model === `${family}/${name}`)) continue
    const key = await publisherKey(family)
    const folder = join(ROOT, 'models', name)
    await operator('model', 'push', folder, '--family', family, '--key', key, '--model-version', '1')
    say(`published ${family}/${name} 1: checked, signed, uploaded`)
  }
}

async function publisherKey(family: string): Promise<string> {
  const folder = join(REGISTRY, 'development-keys/publishers')
  const name = (await readdir(folder)).find((file) => file.startsWith(`${family}-`))
  if (name === undefined) throw new Error(`Cannot publish in "${family}": there is no key of it in ${folder}`)
  return join(folder, name)
}

async function enrolDevice(operator: Operator, url: string): Promise<void> {
  if (existsSync(join(DEVICE, 'enrolment.json'))) return
  // Once, and before there is a device: what a person has assigned since then stays.
  const samples = SAMPLES.map(([family, name]) => `${family}/${name}@1`)
  await operator('assign', 'all', ...samples, '--observe-seconds', String(OBSERVE_SECONDS))
  const made = JSON.parse(await operator('token', '--device', DEVICE_NAME, '--json')) as { token: string }
  await operator('enrol', '--registry', url, '--token', made.token, '--state', DEVICE)
  say(`enrolled the device "${DEVICE_NAME}"`)
}

/** All of them served, each said as it comes. */
async function waitForModels(url: string): Promise<void> {
  const served = new Set<string>()
  const began = performance.now()
  while (served.size < SAMPLES.length) {
    if (performance.now() - began > ARRIVE_MS_MAX) {
      say(
        `not all models have arrived after ${ARRIVE_MS_MAX / 1000} s: see "limpet status --state ${DEVICE}"`,
      )
      return
    }
    for (const [, name] of SAMPLES) {
      if (served.has(name)) continue
      const answer = await fetch(`${url}/v2/models/${name}`).catch(() => undefined)
      if (answer?.ok !== true) continue
      const { versions } = (await answer.json()) as { versions: string[] }
      served.add(name)
      say(`${name} ${versions.join(', ')} has come over the air, was proven, and serves`)
    }
    await Bun.sleep(100)
  }
}

/** A second version whose answers tell it from the first: the difference first, then the sum. */
async function writeNext(): Promise<void> {
  const folder = join(STATE, 'next/simple')
  await Bun.write(join(folder, '2/model.onnx'), differenceFirst())
  await Bun.write(join(folder, 'config.toml'), Bun.file(join(ROOT, 'models/simple/config.toml')))
}

async function announce({ registry, device }: { registry: string; device: string }): Promise<void> {
  const variables = { ...operatorEnvironment(registry), LIMPET_PUBLISHER_KEY: await publisherKey('demo') }
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${JSON.stringify(value)}`)
  await Bun.write(join(STATE, 'env'), `${lines.join('\n')}\n`)
  const row = Array.from({ length: 16 }, (_, index) => index)
  const inputs = ['INPUT0', 'INPUT1'].map((name) => ({
    name,
    datatype: 'INT32',
    shape: [1, 16],
    data: row,
  }))
  console.log(`limpet is up: device on ${device}, registry on ${registry}
  try: curl -s ${device}/v2/models/simple/infer -d '${JSON.stringify({ inputs })}'
  the console: ${registry}, with the key in ${join(REGISTRY, 'admin.key')}
  a second version, over the air (README, "A second version"): . ${join(STATE, 'env')}`)
}

/** Starts a command that goes on, and resolves with what it says when it is ready. */
async function start(
  args: readonly string[],
  ready: RegExp,
): Promise<{ child: Bun.Subprocess; match: string }> {
  const env = { ...process.env, LIMPET_CALL: 'at_once' }
  const child = Bun.spawn([BINARY, ...args], { env, stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' })
  children.push(child)
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const timer = setTimeout(
    () => reject(new Error(`"limpet ${args[0]}" is not ready after ${START_MS_MAX} ms`)),
    START_MS_MAX,
  )
  const read = async () => {
    let printed = ''
    const decoder = new TextDecoder()
    for await (const chunk of child.stdout) {
      if (printed.length < 65_536) printed += decoder.decode(chunk, { stream: true })
      const match = ready.exec(printed)?.[1]
      if (match !== undefined) resolve(match)
    }
    reject(new Error(`"limpet ${args[0]}" ended with exit code ${await child.exited}`))
  }
  read().catch(reject)
  try {
    return { child, match: await promise }
  } finally {
    clearTimeout(timer)
  }
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => children.findLast((child) => child.exitCode === null)?.kill(signal))
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
// The device first, then what it talks to.
for (const child of children.reverse()) {
  child.kill('SIGTERM')
  await child.exited
}
process.exit()
