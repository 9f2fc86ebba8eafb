/**
 * Fetches the pinned Bun with npm, so that a machine needs nothing but Node to build Limpet. Plain JavaScript, because
 * Node runs it before there is a Bun, and a Bun script imports it for the other architecture.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const BUN_VERSION = '1.4.5'

/** What npm's own index says about the two packages; a new version of Bun needs new values. */
const PACKAGES = {
  'linux-x64': {
    megabytes: 52,
    sha512: 'IWX9BELoGHAUtMonkeSaNaZwXzRk+oDw6Mk+HBFXd3KHYIBNBsIGRupMZPcgNoDbJpLu6gAJjIoIVPZtt1aJ1g==',
  },
  'linux-aarch64': {
    megabytes: 53,
    sha512: '4BXmsSKnjOrlGWqZV4x/oWa7AVoR+B6lCXddMzOAXBIm3t50eslg9wb66gmtW1AamEQ1l1CDvmmruysEhqOWMg==',
  },
}

const TOOLS = fileURLToPath(new URL('../.tools', import.meta.url))
/** npm's reason comes first; the lines after it say where its log lies. */
const REASON_LINES_MAX = 8
/** npm tries a registry that does not answer for more than a minute: whoever waits is told that it goes on. */
const PATIENCE_MS = 10_000

/**
 * Gives the path of the executable, which is whole whenever it is there.
 * @param {{ platform: 'linux-x64' | 'linux-aarch64', folder?: string, say?: (line: string) => void }} wanted
 * @returns {Promise<string>}
 */
export async function fetchBun({ platform, folder = TOOLS, say = console.log }) {
  if (!Object.hasOwn(PACKAGES, platform)) {
    throw new Error(`Cannot fetch Bun for "${platform}": expected ${Object.keys(PACKAGES).join(' or ')}`)
  }
  const name = `bun-${BUN_VERSION}-${platform}`
  const home = join(folder, name)
  const bun = join(home, 'bun')
  if (existsSync(bun)) return bun
  await removeAbandoned(folder)

  const draft = join(folder, `${name}.${process.pid}.draft`)
  const removeDraft = () => rmSync(draft, { recursive: true, force: true })
  process.once('exit', removeDraft)
  try {
    await mkdir(draft, { recursive: true })
    await unpackPackage(platform, await packPackage(platform, draft, say), say)
    await moveIntoPlace(join(draft, 'package/bin'), home)
  } finally {
    process.off('exit', removeDraft)
    removeDraft()
  }
  return bun
}

/** A run that was killed outright leaves its draft behind: 150 MB that nobody else would remove. */
async function removeAbandoned(folder) {
  for (const name of await readdir(folder).catch(() => [])) {
    const pid = /\.(\d+)\.draft$/.exec(name)?.[1]
    if (pid !== undefined && !isRunning(Number(pid))) {
      await rm(join(folder, name), { recursive: true, force: true })
    }
  }
}

function isRunning(pid) {
  // A draft of this process's own number is of an earlier process: this one has not begun.
  if (pid === process.pid) return false
  try {
    // Not by signal 0: a killed process that nobody waits for still takes it, but has no command line any more.
    return readFileSync(`/proc/${pid}/cmdline`).length > 0
  } catch {
    return false
  }
}

async function packPackage(platform, draft, say) {
  const { megabytes, sha512 } = PACKAGES[platform]
  const wanted = `@oven/bun-${platform}@${BUN_VERSION}`
  say(`fetching ${wanted} with npm, ${megabytes} MB`)
  const began = performance.now()
  const timer = setInterval(() => say(`still fetching, ${formatSeconds(began)}`), PATIENCE_MS)
  await runQuietly('npm', ['pack', wanted, '--pack-destination', draft], {
    task: `fetch ${wanted}`,
    advice: 'npm has to be on PATH and to reach its registry, see "npm config get registry" and "npm ping"',
  }).finally(() => clearInterval(timer))
  const file = (await readdir(draft)).find((name) => name.endsWith('.tgz'))
  if (file === undefined) {
    throw new Error(`Cannot fetch ${wanted}: npm left no .tgz file; "npm pack ${wanted}" would leave one`)
  }
  const path = join(draft, file)
  const bytes = await readFile(path)
  const found = createHash('sha512').update(bytes).digest('base64')
  if (found !== sha512) {
    throw new Error(
      `Cannot use ${wanted}: the SHA-512 of what npm fetched (${bytes.length} bytes) is ${found}, expected ${sha512}; ` +
        'either the registry serves something else, or "npm cache verify" mends it',
    )
  }
  say(`fetched ${formatMegabytes(bytes.length)} in ${formatSeconds(began)}, SHA-512 as pinned`)
  return path
}

async function unpackPackage(platform, path, say) {
  const began = performance.now()
  const draft = join(path, '..')
  await runQuietly('tar', ['-xzf', path, '-C', draft], {
    task: `unpack Bun for ${platform}`,
    advice: 'tar and gzip have to be installed, and the disk needs 200 MB',
  })
  const bun = join(draft, 'package/bin/bun')
  // The rename must not reach the disk before the bytes: a power cut would leave an empty Bun in its place.
  const file = await open(bun, 'r')
  await file.sync().finally(() => file.close())
  say(`unpacked ${formatMegabytes((await stat(bun)).size)} in ${formatSeconds(began)}`)
}

async function moveIntoPlace(from, home) {
  try {
    await rename(from, home)
  } catch (error) {
    // Another run was faster, and its Bun is the same as this one.
    if (!existsSync(join(home, 'bun'))) throw error
  }
}

/** Runs a command without a word; what it said on stderr is told only if it fails. */
function runQuietly(command, args, { task, advice }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    const kill = () => child.kill()
    process.once('exit', kill)
    let told = ''
    child.stderr.setEncoding('utf8').on('data', (text) => {
      told += text
    })
    child.once('error', (error) => {
      process.off('exit', kill)
      const reason = error.code === 'ENOENT' ? `"${command}" is not on PATH` : error.message
      reject(new Error(`Cannot ${task}: ${reason}; ${advice}`, { cause: error }))
    })
    child.once('close', (code, signal) => {
      process.off('exit', kill)
      if (code === 0) return resolve(undefined)
      const lines = told.split('\n').filter((line) => !/^\s*$|^npm warn|^npm error {2,}/i.test(line))
      const reason = lines.slice(0, REASON_LINES_MAX).map((line) => `\n  ${line}`)
      const end = signal === null ? `exit code ${code}` : `signal ${signal}`
      reject(new Error(`Cannot ${task}: ${command} ended with ${end}; ${advice}${reason.join('')}`))
    })
  })
}

function formatMegabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

function formatSeconds(began) {
  return `${((performance.now() - began) / 1000).toFixed(1)} s`
}
