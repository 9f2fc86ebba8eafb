/** What a server may answer. */
import { parseExactJson } from '../../src/kit/exact-json.ts'
import type { Answer, Outcome } from './exchange.ts'
import { isWhole, type WireCase } from './wire-case.ts'

/** Answers of 5xx that are meant, with the reason; everything else above 499 is a fault. */
export const BY_DESIGN: readonly { status: number; says: RegExp; why: string; onlyBroken?: boolean }[] = [
  { status: 505, says: /^$/, why: 'what Bun answers to bytes that are no HTTP', onlyBroken: true },
  { status: 501, says: /trac/, why: 'tracing is not there, and says so' },
  {
    status: 503,
    says: /it is (UNAVAILABLE|LOADING|UNLOADING)|being unloaded/,
    why: 'a known model that is not ready',
  },
]

/** What is wrong with what came back, or undefined. */
export function judge(wire: WireCase, outcome: Outcome): string | undefined {
  if (outcome === 'silent') return 'no answer in time, and the connection is still open'
  if (outcome === 'closed') return isWhole(wire) ? 'the connection was closed without an answer' : undefined
  const { status } = outcome
  if (!(status >= 200 && status < 500)) {
    if (!isByDesign(wire, outcome)) return `answered ${status}: ${excerpt(outcome.body)}`
    if (!wire.isGood) return undefined
  }
  if (wire.isGood && status !== 200) return `a good request was answered ${status}: ${excerpt(outcome.body)}`
  return judgeBody(wire, outcome)
}

function isByDesign(wire: WireCase, { status, body }: Answer): boolean {
  const text = body.toString()
  const isSaid = (says: RegExp) => wire.method === 'HEAD' || says.test(text)
  return BY_DESIGN.some(
    ({ onlyBroken = false, ...design }) =>
      design.status === status && isSaid(design.says) && !(onlyBroken && isWhole(wire)),
  )
}

const excerpt = (body: Buffer) => body.toString('utf8', 0, 400)

function judgeBody(wire: WireCase, answer: Answer): string | undefined {
  const { headers, status, body } = answer
  if (wire.method === 'HEAD' || headers.has('content-encoding')) return undefined
  const type = headers.get('content-type') ?? ''
  const header = headers.get('inference-header-content-length')
  const jsonBytes = header === undefined ? body.length : Number(header)
  if (header === undefined && !type.startsWith('application/json')) return undefined
  let json: unknown
  try {
    json = parseExactJson(body.toString('utf8', 0, jsonBytes))
  } catch (error) {
    return `answered ${status} with what is no JSON (${error}): ${excerpt(body)}`
  }
  if (status >= 400) {
    const { error, ready } = json as { error?: unknown; ready?: unknown }
    if (ready === false) return undefined
    return typeof error === 'string' && error !== '' ? undefined : `a refusal without words: ${excerpt(body)}`
  }
  if (header !== undefined) {
    const sizes = (json as { outputs: { parameters?: { binary_data_size?: number } }[] }).outputs.map(
      ({ parameters }) => parameters?.binary_data_size ?? 0,
    )
    const said = sizes.reduce((sum, size) => sum + size, 0)
    if (said !== body.length - jsonBytes)
      return `${body.length - jsonBytes} bytes follow, the JSON says ${said}`
  }
  if (wire.isEcho && !body.subarray(jsonBytes).equals(wire.binary))
    return 'another tensor came back than was sent'
  return undefined
}
