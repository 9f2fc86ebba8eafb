import { z } from 'zod'
import { systemClock } from '../kit/clock.ts'
import { writeDurably } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { UPLOAD_BYTES_MAX } from '../link/commands.ts'
import type { RegistryClient } from '../publisher/registry-client.ts'
import { EXIT } from './exit-codes.ts'
import type { OperatorOptions } from './operate.ts'
import { openRegistryClient } from './registry-client.ts'

type Print = (line: string) => void

const Attachment = z.object({
  bytes: z.int(),
  sha256: z.string(),
  content_type: z.string(),
  at: z.enum(['upload', 'inline']),
  base64: z.string().optional(),
})
const Command = z.looseObject({
  id: z.string(),
  device: z.string(),
  op: z.string(),
  state: z.enum(['queued', 'sent', 'done', 'failed', 'expired']),
  code: z.string(),
  reason: z.string(),
  result: z.unknown(),
})
type Command = z.infer<typeof Command>
const WithAttachment = z.looseObject({ attachment: Attachment })
const LogLines = z.object({ lines: z.array(z.looseObject({})), truncated: z.boolean() })

const LOOK_MS = 300

export interface CommandOptions extends OperatorOptions {
  readonly expiresSeconds: number
  /** False: it is only given. */
  readonly wait: boolean
  /** Where to write what the device has brought together. */
  readonly out: string | undefined
}

/** `limpet device command`: asks a device for something, and waits for how it ended. Gives the exit code. */
export async function runDeviceCommand(
  of: { readonly device: string; readonly op: string; readonly given: readonly string[] },
  options: CommandOptions,
  print: Print,
): Promise<number> {
  const registry = await openRegistryClient(options)
  const ended = await command(registry, { ...of, given: parseGiven(of.given) }, options)
  const saved = options.out === undefined ? undefined : await saveAttachment(registry, ended, options.out)
  if (options.json) print(JSON.stringify(ended))
  else {
    print(describe(ended))
    if (ended.result !== null) print(JSON.stringify(withoutBytes(ended.result), undefined, 2))
    if (saved !== undefined) print(saved)
  }
  return exitCodeOf(ended)
}

export interface LogOptions extends OperatorOptions {
  readonly lines: number
  readonly process: string | undefined
  readonly expiresSeconds: number
}

/** `limpet device logs`: the last lines of the processes on a device. */
export async function runDeviceLogs(device: string, options: LogOptions, print: Print): Promise<number> {
  const registry = await openRegistryClient(options)
  const { lines, process: only } = options
  const given = { lines, ...(only !== undefined && { process: only }) }
  const ended = await command(registry, { device, op: 'logs', given }, { ...options, wait: true })
  if (options.json) print(JSON.stringify(ended))
  else if (ended.state === 'done') {
    for (const line of LogLines.parse(ended.result).lines) print(JSON.stringify(line))
  } else process.stderr.write(`${describe(ended)}\n`)
  return exitCodeOf(ended)
}

async function command(
  registry: RegistryClient,
  { device, op, given }: { device: string; op: string; given: object },
  { expiresSeconds, wait }: { expiresSeconds: number; wait: boolean },
): Promise<Command> {
  const body = { op, expires_seconds: expiresSeconds, ...given }
  const made = await registry.ask(Command, 'POST', `v1/devices/${encodeURIComponent(device)}/commands`, body)
  if (!wait) return made
  const live = new LiveLine(systemClock.elapsed())
  try {
    for (let now = made; ; ) {
      if (now.state !== 'queued' && now.state !== 'sent') return now
      live.say(now, systemClock.elapsed())
      await systemClock.sleep(LOOK_MS)
      now = await registry.ask(Command, 'GET', `v1/commands/${made.id}`)
    }
  } finally {
    live.end()
  }
}

/** What is being waited for: one line that moves where there is a terminal, else a line for each change. */
class LiveLine {
  readonly #beganMs: number
  readonly #isTerminal = process.stderr.isTTY === true
  #last = ''

  constructor(beganMs: number) {
    this.#beganMs = beganMs
  }

  say({ device, op, state }: Command, nowMs: number): void {
    const what = state === 'queued' ? 'waits for the device to come' : 'is with the device'
    const line = `"${op}" for "${device}" ${what}`
    if (this.#isTerminal) process.stderr.write(`\r${line}, ${Math.round((nowMs - this.#beganMs) / 1000)} s `)
    else if (line !== this.#last) process.stderr.write(`${line}\n`)
    this.#last = line
  }

  end(): void {
    if (this.#isTerminal && this.#last !== '') process.stderr.write('\r\u001b[K')
  }
}

/** "lines=50 process=serve": JSON where it is some, else a word. */
function parseGiven(words: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    words.map((word) => {
      const [, name = '', text = ''] = /^([a-z_]+)=(.*)$/s.exec(word) ?? []
      if (name === '') throw new EdgeError('input_invalid', `Cannot use "${word}": expected NAME=VALUE`)
      return [name, parseValue(text)]
    }),
  )
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

function describe({ op, device, state, code, reason, id }: Command): string {
  const why = reason === '' ? '' : `: ${code === '' ? '' : `${code}: `}${reason}`
  return `"${op}" for "${device}" is ${state}${why} (${id})`
}

/** A person sees that it is there; the bytes are for --out and --json. */
function withoutBytes(result: unknown): unknown {
  const { data } = WithAttachment.safeParse(result)
  if (data === undefined) return result
  const { base64: _, ...attachment } = data.attachment
  return { ...data, attachment }
}

async function saveAttachment(
  registry: RegistryClient,
  { id, result, state }: Command,
  out: string,
): Promise<string | undefined> {
  if (state !== 'done') return undefined
  const { data } = WithAttachment.safeParse(result)
  if (data === undefined)
    throw new EdgeError('input_invalid', `Cannot write "${out}": the device has brought nothing`)
  const { at, base64 = '', sha256 } = data.attachment
  const bytes =
    at === 'inline'
      ? Buffer.from(base64, 'base64')
      : await registry.fetchBytes(`v1/uploads/${id}`, UPLOAD_BYTES_MAX)
  const actual = new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
  if (actual !== sha256) {
    throw new EdgeError(
      'peer_failed',
      `Cannot use the upload: its hash is ${actual}, the device has told ${sha256}`,
    )
  }
  await writeDurably(out, bytes)
  return `${bytes.byteLength} bytes in ${out}`
}

function exitCodeOf({ state }: Command): number {
  if (state === 'failed') return EXIT.failed
  return state === 'expired' ? EXIT.unavailable : EXIT.ok
}
