/** wrk (Debian package) as a function, and the processor time that others have used meanwhile. */
import { join } from 'node:path'
import type { Body } from './bench-cases.ts'

export interface Load {
  readonly url: string
  readonly body: Body
  readonly connections: number
  readonly seconds: number
  /** Of wrk's process, like taskset and its arguments. */
  readonly prefix: readonly string[]
  /** Where the script for wrk is written. */
  readonly folder: string
  /** Answers other than 2xx are what is to be measured too. */
  readonly mayFail?: boolean
}

export interface LoadResult {
  /** Answers of any status a second. */
  readonly rate: number
  readonly failed: number
  readonly requests: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly meanMs: number
  /** Of wrk, a request. */
  readonly cpuMicros: number
}

/** wrk gets the body as a Lua string of escaped bytes. Its processor time is its children's of this process. */
export async function load({
  url,
  body,
  connections,
  seconds,
  prefix,
  folder,
  mayFail = false,
}: Load): Promise<LoadResult> {
  const script = join(folder, `request-${crypto.randomUUID()}.lua`)
  const bytes = [...body.body].map((byte) => `\\${String(byte).padStart(3, '0')}`).join('')
  const headers = Object.entries(body.headers).map(([name, value]) => `wrk.headers["${name}"] = "${value}"`)
  await Bun.write(script, `wrk.method = "POST"\nwrk.body = "${bytes}"\n${headers.join('\n')}\n`)
  const args = ['wrk', '-t1', `-c${connections}`, `-d${seconds}`, '--latency', '-s', script, url]
  const wrk = Bun.spawn([...prefix, ...args], { stdout: 'pipe', stderr: 'ignore' })
  const text = await new Response(wrk.stdout).text()
  await wrk.exited
  const failed = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0)
  if (failed > 0 && !mayFail) throw new Error(`Requests to ${url} failed: ${text}`)
  const requests = Number(/(\d+) requests in/.exec(text)?.[1] ?? Number.NaN)
  const used = wrk.resourceUsage()?.cpuTime.total ?? 0n
  return {
    rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1] ?? Number.NaN),
    failed,
    requests,
    p50Ms: inMs(/50%\s+(\S+)/.exec(text)?.[1]),
    p99Ms: inMs(/99%\s+(\S+)/.exec(text)?.[1]),
    meanMs: inMs(/Latency\s+(\S+)/.exec(text)?.[1]),
    cpuMicros: Number(used) / requests,
  }
}

function inMs(text: string | undefined): number {
  const [, number, unit] = /^([\d.]+)(us|ms|s)$/.exec(text ?? '') ?? []
  return Number(number) * (unit === 'us' ? 0.001 : unit === 'ms' ? 1 : 1000)
}

/** What a process has used so far, all its threads together. */
export async function cpuMicrosOf(pid: number): Promise<number> {
  const stat = await Bun.file(`/proc/${pid}/stat`).text()
  // Behind the name, which may hold anything: utime and stime, in hundredths of a second.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

/** The upper bound, in ms, of the longest delay of the event loop between two texts of metrics; 0 for none. */
export function longestDelayMs(before: string, after: string, of: 'delay' | 'held' = 'delay'): number {
  const bucket = new RegExp(`limpet_event_loop_${of}_seconds_bucket\\{le="([^"]+)"\\} (\\d+)`, 'g')
  const buckets = (text: string) =>
    [...text.matchAll(bucket)].map(
      ([, le, count]) =>
        [le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le) * 1000, Number(count)] as const,
    )
  const old = buckets(before)
  let below = 0
  let longest = 0
  for (const [index, [bound, count]] of buckets(after).entries()) {
    const more = count - (old[index]?.[1] ?? 0)
    if (more > below) longest = bound
    below = more
  }
  return longest
}
