/**
 * From a fresh checkout to a running or tested Limpet, on a machine that has only Node and npm:
 *
 *   Bun → packages → models → binary → a registry and a device (start) or every check and test (test)
 *
 * `node scripts/bootstrap.mjs start|test [ARGS…]`; ARGS go to `limpet up` or `bun test`. Each step leaves alone what is
 * already right, and can be interrupted at any point and run again. `bun ARGS…` runs the pinned Bun, for whoever has
 * none.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { isatty } from 'node:tty'
import { fileURLToPath } from 'node:url'
import { BUN_VERSION, fetchBun } from './fetch-bun.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Node's names of processors, and the name that Bun's packages use. */
const BUN_PLATFORMS = { x64: 'linux-x64', arm64: 'linux-aarch64' }
const PARENT_CHECK_MS = 500
/** A Ctrl-C comes from the terminal and once more from npm; nobody presses it twice this fast. */
const ECHO_MS = 500

const COMMANDS = ['start', 'test', 'bun']

const say = (line) => console.log(`       ${line}`)

async function main() {
  const [command, ...args] = process.argv.slice(2)
  checkMachine(command)
  passOnSignals()
  if (process.env.npm_lifecycle_event === command) watchParent()

  if (command === 'bun') return runBun(args)

  const bun = await runStep(`1/5 Bun ${BUN_VERSION}`, () => getBun(say))
  const env = environmentWith(bun)
  const target = command === 'start' ? ['--target', process.arch] : []
  await runStep('2/5 packages', () => installPackages(bun, env))
  await runStep('3/5 models', () => runTool(bun, ['scripts/models.ts'], env))
  await runStep('4/5 binary', () => runTool(bun, ['scripts/build.ts', ...target], env))

  console.log(`[5/5 ${command}]`)
  return command === 'start' ? startLimpet(bun, args, env) : testLimpet(bun, args, env)
}

function checkMachine(command) {
  if (!COMMANDS.includes(command)) {
    const expected = `node scripts/bootstrap.mjs ${COMMANDS.join('|')} [ARGS…]`
    throw new Error(`Cannot run "${command ?? ''}": expected ${expected}`)
  }
  if (process.platform !== 'linux' || !Object.hasOwn(BUN_PLATFORMS, process.arch)) {
    throw new Error(
      `Cannot ${command}: this machine is ${process.platform} ${process.arch}; ` +
        'the appliance runs on Linux x64 and Linux arm64, so use such a machine or a Linux container',
    )
  }
}

function getBun(tell) {
  return fetchBun({ platform: BUN_PLATFORMS[process.arch], folder: join(ROOT, '.tools'), say: tell })
}

/** Scripts that run scripts find the same Bun, whatever else is installed. */
function environmentWith(bun) {
  return { ...process.env, PATH: `${dirname(bun)}${delimiter}${process.env.PATH ?? ''}` }
}

/** Standard output is Bun's alone here. */
async function runBun(args) {
  const bun = await getBun(console.error)
  return runChild(bun, args, { env: environmentWith(bun) })
}

async function runStep(title, step) {
  console.log(`[${title}]`)
  const began = performance.now()
  const result = await step()
  console.log(`[${title}] ${((performance.now() - began) / 1000).toFixed(1)} s`)
  return result
}

/** Skipped when node_modules says that it was made, to the end, from these very lines. */
async function installPackages(bun, env) {
  const modules = join(ROOT, 'node_modules')
  const stamp = join(modules, '.limpet-made-from')
  const begun = join(modules, '.limpet-begun')
  const inputs = await hashFiles(['bun.lock', 'package.json'])
  if ((await readFile(stamp, 'utf8').catch(() => '')) === inputs) return say('already there')

  // Bun takes a package's folder for the package, but one that was cut short may lack files.
  if (existsSync(begun)) await rm(modules, { recursive: true, force: true })
  await mkdir(modules, { recursive: true })
  await rm(stamp, { force: true })
  await writeFile(begun, '')
  await runTool(bun, ['install', '--frozen-lockfile'], env)
  await writeFile(stamp, inputs)
  await rm(begun)
}

async function hashFiles(names) {
  const hash = createHash('sha256').update(BUN_VERSION)
  for (const name of names) hash.update(`\n${name}\n`).update(await readFile(join(ROOT, name)))
  return hash.digest('hex')
}

async function runTool(bun, args, env) {
  const code = await runChild(bun, args, { cwd: ROOT, env })
  if (code === 0) return
  throw Object.assign(
    new Error(`Cannot go on: "bun ${args.join(' ')}" ended with exit code ${code}; see its message above`),
    { exitCode: code },
  )
}

/** In the caller's folder, so that paths in ARGS mean what they say. */
function startLimpet(bun, args, env) {
  return runChild(bun, [join(ROOT, 'scripts/start.ts'), ...args], {
    env: { ...env, LIMPET_STATE: process.env.LIMPET_STATE ?? join(ROOT, '.limpet') },
    // At a terminal Ctrl-C would reach Limpet twice, from the terminal and from here, and the second one ends it
    // before it has finished its requests.
    detached: [0, 1, 2].some((fd) => isatty(fd)),
  })
}

function testLimpet(bun, args, env) {
  return runChild(bun, ['run', 'check', ...args], { cwd: ROOT, env })
}

let running
let stoppedBy

function passOnSignals() {
  const lastMs = {}
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      const nowMs = performance.now()
      const isEcho = nowMs - (lastMs[signal] ?? Number.NEGATIVE_INFINITY) < ECHO_MS
      lastMs[signal] = nowMs
      if (!isEcho) passOn(signal)
    })
  }
}

/** npm runs this under a shell, and a signal to npm ends that shell without a word to what it runs. */
function watchParent() {
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    if (stoppedBy === undefined) passOn('SIGTERM')
  }, PARENT_CHECK_MS)
  timer.unref()
}

function passOn(signal) {
  stoppedBy = signal
  // Between two children there is nothing to wait for; fetch-bun removes its draft at the exit.
  if (running === undefined) process.exit(codeOfSignal(signal))
  running.kill(signal)
}

/** Resolves to the exit code as a shell would say it. */
function runChild(command, args, options) {
  return new Promise((resolve, reject) => {
    // A signal may have come while nothing ran, or ended the step before with code 0.
    if (stoppedBy !== undefined) return resolve(codeOfSignal(stoppedBy))
    running = spawn(command, args, { stdio: 'inherit', ...options })
    running.once('error', (error) => {
      running = undefined
      reject(new Error(`Cannot run ${command}: ${error.message}`, { cause: error }))
    })
    running.once('close', (code, signal) => {
      running = undefined
      resolve(signal === null ? code : codeOfSignal(signal))
    })
  })
}

function codeOfSignal(signal) {
  return 128 + constants.signals[signal]
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error.message)
  process.exitCode = error.exitCode ?? 1
}
