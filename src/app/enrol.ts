import { hostname, totalmem } from 'node:os'
import { prettifyError, z } from 'zod'
import { type Config, loadConfig } from '../config/config.ts'
import { readEnvironment } from '../config/environment.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { systemRandom } from '../kit/random.ts'
import { enrolmentPath, readEnrolment, writeEnrolment } from './agent/enrolment.ts'
import { claimFor, forgetClaim } from './agent/enrolment-claim.ts'
import { deviceHardware } from './agent/hardware.ts'
import { readTls } from './agent/tls.ts'
import { BUILD } from './build-info.ts'

export interface EnrolOptions {
  readonly registry: string
  readonly token: string | undefined
  /** Holds the token instead; "-" is standard input. */
  readonly tokenFile: string | undefined
  readonly device: string | undefined
  readonly config: string | undefined
  readonly state: string | undefined
  readonly again: boolean
}

const ANSWER_BYTES_MAX = 1024 ** 2
const ANSWER_MS_MAX = 30_000

const Answer = z.object({
  device: z.string().min(1),
  secret: z.string().min(1),
  mqtt: z.object({ url: z.string().min(1) }),
  root: z.looseObject({ signed: z.unknown(), signatures: z.unknown() }),
})

/** `limpet enrol`: a one-time token for an identity, and the root to trust from then on. */
export async function runEnrol(options: EnrolOptions, print: (line: string) => void): Promise<void> {
  const environment = readEnvironment()
  const state = options.state ?? environment.state
  const registry = checkUrl(options.registry)
  const before = options.again ? undefined : await readEnrolment(state)
  if (before !== undefined) {
    throw new EdgeError(
      'conflict',
      `Cannot enrol: this is "${before.device}" at ${before.registry} already; give --again to become another one`,
    )
  }
  const config = await loadConfig(options.config ?? environment.config)
  const tls = await readTls(config.registry)
  const token = await readToken(options)
  const claim = await claimFor({ state, token, random: systemRandom })
  const hardware = await describeHardware(config)
  const body = { token, device: options.device, claim, hardware }
  const { device, secret, mqtt, root } = await ask(registry, body, tls)
  await writeEnrolment(state, { format: 1, registry, device, secret, mqtt_url: mqtt.url, root })
  await forgetClaim(state)
  print(`Enrolled as "${device}" at ${registry}; kept in "${enrolmentPath(state)}"`)
  print('Start it, or start it again: limpet up')
}

/** Far more than a token has. */
const TOKEN_BYTES_MAX = 4096

/** A file counts first: whoever names one does not mean what may still stand in the environment. */
async function readToken({ token, tokenFile }: EnrolOptions): Promise<string> {
  if (tokenFile === undefined) {
    if (token !== undefined && token !== '') return token
    throw new EdgeError(
      'config_invalid',
      'Cannot enrol without a token: give --token-file FILE or --token TOKEN',
    )
  }
  const file = tokenFile === '-' ? Bun.stdin : Bun.file(tokenFile)
  const text = await file
    .slice(0, TOKEN_BYTES_MAX)
    .text()
    .catch((cause: unknown) => {
      throw new EdgeError('config_invalid', `Cannot read the token "${tokenFile}": ${messageOf(cause)}`, {
        cause,
      })
    })
  const line = text.split('\n')[0]?.trim() ?? ''
  if (line !== '') return line
  throw new EdgeError('config_invalid', `Cannot enrol: the first line of "${tokenFile}" holds no token`)
}

function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return text.replace(/\/+$/, '')
  throw new EdgeError(
    'input_invalid',
    `Cannot enrol at "${text}": expected a URL like https://registry.example`,
  )
}

async function describeHardware(config: Config): Promise<object> {
  const { names, providers } = await deviceHardware(config)
  return { names, providers, host: hostname(), memory_bytes: totalmem(), limpet: BUILD.version }
}

async function ask(registry: string, body: object, tls: object): Promise<z.infer<typeof Answer>> {
  const answer = await fetch(`${registry}/v1/enrol`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
    redirect: 'error',
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
  }).catch((cause: unknown) => {
    throw new EdgeError('peer_failed', `Cannot enrol: ${registry} does not answer: ${messageOf(cause)}`, {
      cause,
    })
  })
  const text = await answer.text()
  const json = text.length <= ANSWER_BYTES_MAX ? parseJson(text) : undefined
  if (!answer.ok) {
    const said = (json as { message?: unknown } | undefined)?.message
    throw new EdgeError(
      'input_invalid',
      typeof said === 'string' ? said : `Cannot enrol: the registry answers ${answer.status}`,
    )
  }
  const parsed = Answer.safeParse(json)
  if (parsed.success) return parsed.data
  throw new EdgeError(
    'peer_failed',
    `Cannot enrol: the answer is none of a registry: ${prettifyError(parsed.error)}`,
  )
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
