import { readTls } from '../agent/tls.ts'
import { answerMs, type Context } from './context.ts'
import { describeFailure } from './failure.ts'

/** What one question came to. */
type Answer = { readonly status: number; readonly json: unknown } | { readonly problem: string }

/** The device is not enrolled, its enrolment cannot be read, or nobody is to be asked. */
export interface Unasked {
  readonly unasked: 'none' | 'unreadable' | 'offline'
  readonly problem: string
}

export interface RegistryFacts {
  readonly url: string
  readonly device: string
  readonly health: Answer
  /** Of the newest metadata, "timestamp.json". */
  readonly timestamp: Answer | undefined
  /** Whether it knows this device. */
  readonly known: Answer | undefined
  /** This clock against its own. */
  readonly offsetSeconds: number | undefined
  readonly tookMs: number
  readonly nowMs: number
}

const ANSWER_CHARACTERS_MAX = 256 * 1024

export async function lookAtRegistry(context: Context): Promise<RegistryFacts | Unasked> {
  const { enrolment, options, clock, config, signal } = context
  if (enrolment === undefined)
    return {
      unasked: context.enrolmentProblem === '' ? 'none' : 'unreadable',
      problem: context.enrolmentProblem,
    }
  if (options.offline) return { unasked: 'offline', problem: '' }
  const tls = await readTls(config.registry).catch(() => ({}))
  const basic = Buffer.from(`${enrolment.device}:${enrolment.secret}`).toString('base64')
  const url = enrolment.registry.replace(/\/+$/, '')
  let offsetSeconds: number | undefined
  const ask = async (path: string, headers: Record<string, string> = {}): Promise<Answer> => {
    try {
      const answer = await fetch(`${url}${path}`, {
        headers,
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs(context.options))]),
        ...(Object.keys(tls).length === 0 ? {} : { tls }),
      })
      const date = answer.headers.get('date')
      if (date !== null) offsetSeconds = (clock.now() - Date.parse(date)) / 1000
      return { status: answer.status, json: parse((await answer.text()).slice(0, ANSWER_CHARACTERS_MAX)) }
    } catch (error) {
      return { problem: describeFailure(error) }
    }
  }
  const began = clock.elapsed()
  const health = await ask('/v1/health')
  const tookMs = clock.elapsed() - began
  const isThere = !('problem' in health)
  const device = encodeURIComponent(enrolment.device)
  return {
    url,
    device: enrolment.device,
    health,
    timestamp: isThere ? await ask('/tuf/timestamp.json') : undefined,
    known: isThere ? await ask(`/v1/assignments/${device}`, { authorization: `Basic ${basic}` }) : undefined,
    offsetSeconds,
    tookMs,
    nowMs: clock.now(),
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
