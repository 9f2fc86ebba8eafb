import { readFile } from 'node:fs/promises'
import { childEnvironment, SUPERVISED } from '../config/environment.ts'
import { type Clock, systemClock } from '../kit/clock.ts'
import { EdgeError } from '../kit/errors.ts'
import type { GoldenTolerance } from '../ota/ports.ts'
import { EXIT } from './exit-codes.ts'
import { ownCommand } from './own-command.ts'
import { ProbeReport, unfitReport } from './probe-report.ts'

export interface ProbeLimits {
  readonly folder: string
  readonly golden: GoldenTolerance | undefined
  readonly memoryBytesMax: number
  readonly secondsMax: number
  readonly config: string | undefined
  readonly state: string | undefined
}

/** Memory is looked at so often. */
const LOOK_MS = 20
const OUTPUT_BYTES_MAX = 1024 ** 2
const STDERR_LINES = 3

/**
 * Has a version proven in a process of its own, within limits. Whatever becomes of that process is a verdict on the
 * version: only what is wrong with this machine is thrown.
 */
export async function spawnProbe(
  limits: ProbeLimits,
  signal: AbortSignal = new AbortController().signal,
  clock: Clock = systemClock,
): Promise<ProbeReport> {
  signal.throwIfAborted()
  const child = Bun.spawn([...ownCommand(), ...probeArgs(limits)], {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    maxBuffer: OUTPUT_BYTES_MAX,
    env: {
      ...childEnvironment({ [SUPERVISED]: '1', ORT_DISABLE_TELEMETRY: '1', ORT_TELEMETRY_DISABLED: '1' }),
      // Where a test kills this process, the other one is not meant.
      LIMPET_CRASH_AT: undefined,
    },
  })
  const watch = watchOver(child, limits, { signal, clock })
  const [stdout, stderr, watched] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    watch,
  ])
  signal.throwIfAborted()
  const memory = { resident_bytes_max: watched.residentBytesMax, limit_bytes: limits.memoryBytesMax }
  if (watched.ended !== undefined) return { ...unfitReport(watched.ended.code, watched.ended.reason), memory }
  return { ...readVerdict(child, { stdout, stderr }), memory }
}

function probeArgs({ folder, golden, config, state }: ProbeLimits): string[] {
  return [
    ...['probe', folder, '--here'],
    ...(golden === undefined ? [] : ['--golden', golden.path]),
    ...(golden === undefined ? [] : ['--atol', String(golden.absolute), '--rtol', String(golden.relative)]),
    ...(config === undefined ? [] : ['--config', config]),
    ...(state === undefined ? [] : ['--state', state]),
  ]
}

interface Watched {
  readonly residentBytesMax: number
  readonly ended: { readonly code: 'probe_timeout' | 'memory_exceeded'; readonly reason: string } | undefined
}

/** Until it has ended, by itself or because it went past a limit. */
async function watchOver(
  child: Bun.Subprocess,
  { memoryBytesMax, secondsMax }: ProbeLimits,
  { signal, clock }: { signal: AbortSignal; clock: Clock },
): Promise<Watched> {
  const done = new AbortController()
  void child.exited.then(() => done.abort())
  const stop = AbortSignal.any([done.signal, signal])
  const began = clock.elapsed()
  let residentBytesMax = 0
  let ended: Watched['ended']
  while (!stop.aborted && ended === undefined) {
    const bytes = await residentBytes(child.pid)
    residentBytesMax = Math.max(residentBytesMax, bytes)
    if (bytes > memoryBytesMax) {
      ended = {
        code: 'memory_exceeded',
        reason: `it took ${bytes} bytes of memory, at most ${memoryBytesMax}`,
      }
    } else if (clock.elapsed() - began > secondsMax * 1000) {
      ended = { code: 'probe_timeout', reason: `it was not done within ${secondsMax} s` }
    } else await clock.sleep(LOOK_MS, stop)
  }
  if (!done.signal.aborted) child.kill('SIGKILL')
  await child.exited
  return { residentBytesMax, ended }
}

/** 0 where there is no such process any more. */
async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
}

function readVerdict(
  child: Bun.Subprocess,
  { stdout, stderr }: { stdout: string; stderr: string },
): ProbeReport {
  const { exitCode } = child
  const lines = stderr.trim().split('\n').slice(-STDERR_LINES).join(' | ')
  if (exitCode === EXIT.config || exitCode === EXIT.storage || exitCode === EXIT.usage) {
    throw new EdgeError('storage_failed', `Cannot probe: exit code ${exitCode}: ${lines}`)
  }
  if (exitCode === EXIT.ok || exitCode === EXIT.failed) {
    const report = ProbeReport.safeParse(parseJson(stdout))
    if (report.success) return report.data
  }
  const how = child.signalCode === null ? `exit code ${exitCode}` : `signal ${child.signalCode}`
  return unfitReport(
    'probe_crashed',
    `the process that loaded it ended with ${how}${lines === '' ? '' : `: ${lines}`}`,
  )
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
