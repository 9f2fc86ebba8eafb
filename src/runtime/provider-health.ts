/**
 * When a provider has to go. Pure: what became of its runs goes in, what to do about it comes out.
 *
 *   a run fails ─► go on                       once may be anybody's fault
 *   three in a row, the first, EP_FAIL ─► prove  the same request is run without it: where it fails too, the request was it
 *   the device is lost ─► replace              no run can come back from that
 */
import type { OrtErrorCode } from './ort-error.ts'

export type RunOutcome =
  | 'ok'
  /** By a fault that may be the provider's, or of values that no signature rules out. */
  | 'failed'
  /** ONNX Runtime says that the provider is to blame. */
  | 'blamed'
  /** It will not run anything any more. */
  | 'lost'

export type Verdict = 'go_on' | 'prove' | 'replace'

export interface ProviderHealth {
  /** It has answered a run: until then its first failure is enough. */
  readonly hasRun: boolean
  /** In a row. */
  readonly failures: number
  /** Times in a row that it was to go and did not. */
  readonly stays: number
  /** Before that it is not judged again: each time costs a load. */
  readonly notBeforeMs: number
}

export const UNTRIED: ProviderHealth = { hasRun: false, failures: 0, stays: 0, notBeforeMs: 0 }

export const FAILURES_MAX = 3
const STAY_MS_MIN = 5000
const STAY_MS_MAX = 3_600_000

export function judgeRun(
  health: ProviderHealth,
  outcome: RunOutcome,
  nowMs: number,
): { health: ProviderHealth; verdict: Verdict } {
  if (outcome === 'ok') return { health: { ...health, hasRun: true, failures: 0 }, verdict: 'go_on' }
  const failures = Math.min(health.failures + 1, FAILURES_MAX)
  const counted = { ...health, failures }
  if (nowMs < health.notBeforeMs) return { health: counted, verdict: 'go_on' }
  if (outcome === 'lost') return { health: counted, verdict: 'replace' }
  const isEnough = outcome === 'blamed' || !health.hasRun || failures === FAILURES_MAX
  return { health: counted, verdict: isEnough ? 'prove' : 'go_on' }
}

/** It was to go, and stays: the request was to blame, or nothing else could be loaded. */
export function letStay({ hasRun, stays }: ProviderHealth, nowMs: number): ProviderHealth {
  const waitMs = Math.min(STAY_MS_MAX, STAY_MS_MIN * 2 ** Math.min(stays, 20))
  return { hasRun, failures: 0, stays: stays + 1, notBeforeMs: nowMs + waitMs }
}

/** What drivers say when a device is gone or its context is broken for good: CUDA's sticky errors, Vulkan, Direct3D, WebGPU. */
const LOST = new RegExp(
  [
    'device[ _]?(?:is |was |has been )?(?:lost|removed|unavailable|hung)',
    'fallen off the bus',
    'no cuda-capable device',
    'illegal memory access',
    'misaligned address',
    'illegal instruction',
    'unspecified launch failure',
    'device-side assert',
    'uncorrectable (?:ecc|nvlink)',
    'hardware stack error',
    'cuda_error_(?:deinitialized|no_device|device_unavailable|context_is_destroyed)',
    'cudaerrordevicesunavailable',
    'driver shutting down',
  ].join('|'),
  'i',
)

/** Undefined where the client is to blame, or nobody. */
export function outcomeOf({
  code,
  message,
}: {
  readonly code: OrtErrorCode
  readonly message: string
}): Exclude<RunOutcome, 'ok'> | undefined {
  if (code === 'INVALID_ARGUMENT') return undefined
  if (LOST.test(message)) return 'lost'
  return code === 'EP_FAIL' ? 'blamed' : 'failed'
}

/** The provider that a message names, else the one that was to have the most. */
export function blame(
  message: string,
  providers: readonly { name: string; shown: string }[],
): string | undefined {
  const said = message.toLowerCase()
  const says = (word: string) => said.includes(word.toLowerCase())
  // The longer the name, the less likely that it stands there by chance.
  const named =
    providers.find(({ shown }) => says(shown)) ??
    providers.find(({ shown }) => says(shown.replace('ExecutionProvider', ''))) ??
    providers.find(({ name }) => says(name))
  return (named ?? providers[0])?.name
}
