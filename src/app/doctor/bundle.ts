import { open, readFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { loadConfig } from '../../config/config.ts'
import { readEnvironment } from '../../config/environment.ts'
import { runCommand } from '../../health/run-command.ts'
import { writeDurably } from '../../kit/durable-file.ts'
import { logRingPaths } from '../../kit/log-ring.ts'
import { writeTar } from '../../kit/tar.ts'
import { readEnrolment } from '../agent/enrolment.ts'
import { deviceFolders } from '../agent/folders.ts'
import { LOG_PROCESSES } from '../agent/log-tail.ts'
import { redact, redactJson } from '../redact.ts'
import type { DoctorOptions } from './context.ts'
import { describeFailure } from './failure.ts'
import { describeReport } from './print.ts'
import { type Report, reportJson } from './report.ts'

/** Of one file, and of all of them before they are compressed. */
const FILE_BYTES_MAX = 1024 ** 2
const BUNDLE_BYTES_MAX = 8 * 1024 ** 2
const ANSWER_MS_MAX = 10_000
const OWNER_ONLY = 0o600

type Collected = readonly (readonly [name: string, text: string])[]

/** What somebody far away needs to help, in one file, with the secrets out: the one thing that the doctor writes. */
export async function writeBundle(path: string, report: Report, options: DoctorOptions): Promise<string> {
  const collected = [
    ['doctor.txt', `${describeReport(report, undefined).join('\n')}\n`] as const,
    ['doctor.json', `${JSON.stringify(reportJson(report), undefined, 2)}\n`] as const,
    ...(await collect(options)),
  ]
  const secrets = await knownSecrets(options)
  const files = fitting(collected.map(([name, text]) => [name, clean(name, { text, secrets })] as const))
  const bytes = gzipSync(
    writeTar(
      files.map(([name, text]) => ({ name: `limpet/${name}`, bytes: Buffer.from(text) })),
      report.timeMs,
    ),
  )
  await writeDurably(path, bytes, OWNER_ONLY)
  return `${files.length} files, ${bytes.length} bytes in ${path}: secrets are taken out as far as they are known or look like some; look through it before you give it away`
}

/** JSON stays JSON. */
function clean(name: string, { text, secrets }: { text: string; secrets: readonly string[] }): string {
  if (!name.endsWith('.json')) return redact(text, secrets)
  try {
    return `${JSON.stringify(redactJson(JSON.parse(text), secrets), undefined, 2)}\n`
  } catch {
    return redact(text, secrets)
  }
}

/** What is not there, or cannot be had, is left out, or says why. */
async function collect(options: DoctorOptions): Promise<Collected> {
  const environment = readEnvironment()
  const path = options.config ?? environment.config
  const config = await loadConfig(path).catch(() => undefined)
  const state = options.state ?? environment.state
  const folders = config === undefined ? undefined : deviceFolders(state, config)
  const base = config?.http.base_path ?? ''
  const [settings, status, index, metrics, ...more] = await Promise.all([
    path === undefined ? '' : tailOf(path),
    folders === undefined ? '' : ask(folders.agentSocket, 'GET', '/status'),
    folders === undefined ? '' : ask(folders.serveSocket, 'POST', `${base}/v2/repository/index`),
    folders === undefined ? '' : ask(folders.serveSocket, 'GET', `${base}/metrics`),
    ...(folders === undefined
      ? []
      : LOG_PROCESSES.flatMap((name) => logRingPaths(folders.logs, name).map(tailOf))),
  ])
  const logNames = LOG_PROCESSES.flatMap((name) => [`logs/${name}.0.log`, `logs/${name}.1.log`])
  const named: Collected = [
    ['config.toml', settings ?? ''],
    ['status.json', status ?? ''],
    ['models.json', index ?? ''],
    ['metrics.txt', metrics ?? ''],
    ...more.map((text, at) => [logNames[at] ?? '', text] as const),
    ...(await collectFromSystem()),
  ]
  return named.filter(([, text]) => text !== '')
}

async function collectFromSystem(): Promise<Collected> {
  const commands = {
    'journal.txt': [
      'journalctl',
      '--unit=limpet.service',
      '--unit=limpet-registry.service',
      '--lines=200',
      '--no-pager',
      '--output=short-iso',
    ],
    'kernel.txt': ['dmesg', '--level=emerg,alert,crit,err,warn', '--ctime'],
    'disks.txt': ['df', '-h'],
  }
  const ran = Object.entries(commands).map(
    async ([name, command]) => [name, (await runCommand(command)) ?? ''] as const,
  )
  return await Promise.all(ran)
}

/** The end of a file: what happened last. */
async function tailOf(path: string): Promise<string> {
  try {
    await using file = await open(path)
    const { size } = await file.stat()
    const start = Math.max(0, size - FILE_BYTES_MAX)
    const bytes = Buffer.alloc(size - start)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, start)
    return bytes.toString('utf8', 0, bytesRead)
  } catch {
    return ''
  }
}

async function ask(socket: string, method: string, path: string): Promise<string> {
  try {
    const answer = await fetch(`http://localhost${path}`, {
      method,
      unix: socket,
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    })
    return await answer.text()
  } catch (error) {
    return `Cannot ask "${socket}": ${describeFailure(error)}\n`
  }
}

/** What this device holds of secrets, to be found wherever they stand. */
async function knownSecrets(options: DoctorOptions): Promise<string[]> {
  const environment = readEnvironment()
  const state = options.state ?? environment.state
  const [enrolment, config] = await Promise.all([
    readEnrolment(state).catch(() => undefined),
    loadConfig(options.config ?? environment.config).catch(() => undefined),
  ])
  const values = await Promise.all(
    (config?.http.restricted ?? []).map(({ value = '', value_file: file }) =>
      file === undefined ? value : readFile(file, 'utf8').catch(() => ''),
    ),
  )
  const ours = enrolment === undefined ? [] : [enrolment.secret, `${enrolment.device}:${enrolment.secret}`]
  return [...ours, ...values.map((text) => text.split('\n')[0]?.trim() ?? '')]
}

/** The first ones count most; what finds no room any more is named in the last. */
export function fitting(files: Collected): Collected {
  const kept: (readonly [string, string])[] = []
  const left: string[] = []
  let room = BUNDLE_BYTES_MAX
  for (const [name, text] of files) {
    const short = text.length > FILE_BYTES_MAX ? text.slice(-FILE_BYTES_MAX) : text
    const bytes = Buffer.byteLength(short)
    if (bytes > room) left.push(name)
    else {
      room -= bytes
      kept.push([name, short])
    }
  }
  return left.length === 0 ? kept : [...kept, ['left-out.txt', `${left.join('\n')}\n`]]
}
