import type { SeenRequest } from '../inference/request-watch.ts'
import type { Clock } from '../kit/clock.ts'
import { EdgeError, type ErrorCode, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Random } from '../kit/random.ts'
import type { Tensor } from '../runtime/backend.ts'
import { type CaptureRecord, encodeRecord, tensorBytes } from './record.ts'
import type { CaptureRule, CaptureRules } from './rules.ts'
import type { Segments } from './segments.ts'

const LOG = logger('inference')
const RECORD_BYTES_MAX = 16 * 1024 ** 2
/** Copies that wait to be written. */
const WAITING_BYTES_MAX = 32 * 1024 ** 2
const WAITING_MAX = 256
const MINUTE_MS = 60_000
const MESSAGE_LENGTH_MAX = 2000
/** What a request may fail with that says something of the model, and not of how busy the box is. */
const FAILURES: ReadonlySet<ErrorCode> = new Set(['runtime_failed', 'input_invalid', 'output_unsupported'])

type DropReason = 'too_large' | 'queue_full' | 'rate' | 'storage_failed'

export interface CaptureParts {
  readonly rules: CaptureRules
  readonly segments: Segments
  readonly clock: Clock
  readonly random: Random
  /** Flash wears out: what comes on top is let go. */
  readonly bytesPerMinuteMax: number
}

/**
 * Keeps some requests with their answers on disk. A request that is kept costs its own copy, and is written when the disk
 * takes it; what would be too much is let go and counted, and no request waits or fails for it.
 */
export class Capture {
  readonly rules: CaptureRules
  readonly #parts: CaptureParts
  readonly #captured = new Map<string, { sample: number; failure: number }>()
  readonly #dropped: Record<DropReason, number> = { too_large: 0, queue_full: 0, rate: 0, storage_failed: 0 }
  readonly #waiting: { model: string; bytesMax: number; record: Uint8Array }[] = []
  #waitingBytes = 0
  #writing: Promise<void> | undefined
  #minute = { began: Number.NEGATIVE_INFINITY, bytes: 0 }

  constructor(parts: CaptureParts) {
    this.rules = parts.rules
    this.#parts = parts
  }

  /** Whether this request is kept whatever becomes of it, and whether it is where it fails. */
  choose(model: string): { readonly rule: CaptureRule; readonly isSampled: boolean } | undefined {
    const rule = this.rules.rule(model)
    if (rule === undefined) return undefined
    const isSampled = rule.percent > 0 && this.#parts.random.fraction() * 100 < rule.percent
    return isSampled || rule.onFailure ? { rule, isSampled } : undefined
  }

  static isFailure(error: unknown): boolean {
    return !(error instanceof EdgeError) || FAILURES.has(error.code)
  }

  take(
    of: { readonly model: string; readonly version: string; readonly rule: CaptureRule },
    seen: SeenRequest & { readonly outputs: readonly Tensor[]; readonly error?: unknown },
  ): void {
    const { model, version, rule } = of
    const { id, inputs, outputs, error } = seen
    const reason = error === undefined ? 'sample' : 'failure'
    const told = error === undefined ? null : describeError(error)
    const time = new Date(this.#parts.clock.now()).toISOString()
    const record: CaptureRecord = { id, time, model, version, reason, error: told, inputs, outputs }
    const bytes = tensorBytes(record)
    const dropped = this.#refuse(bytes)
    if (dropped !== undefined) {
      this.#dropped[dropped] += 1
      return
    }
    this.#count(model)[reason] += 1
    this.#minute.bytes += bytes
    this.#waitingBytes += bytes
    this.#waiting.push({ model, bytesMax: rule.bytesMax, record: encodeRecord(record) })
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
  }

  #refuse(bytes: number): DropReason | undefined {
    if (bytes > RECORD_BYTES_MAX) return 'too_large'
    const now = this.#parts.clock.elapsed()
    if (now - this.#minute.began >= MINUTE_MS) this.#minute = { began: now, bytes: 0 }
    if (this.#minute.bytes + bytes > this.#parts.bytesPerMinuteMax) return 'rate'
    const isFull = this.#waiting.length >= WAITING_MAX || this.#waitingBytes + bytes > WAITING_BYTES_MAX
    return isFull ? 'queue_full' : undefined
  }

  /** One after the other, on the threads that files are written on. */
  async #write(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { model, record, bytesMax } = next
      try {
        if (!(await this.#parts.segments.append(model, record, bytesMax))) this.#dropped.too_large += 1
      } catch (error) {
        if (this.#dropped.storage_failed === 0)
          LOG.warn('inference.capture_failed', { model, reason: messageOf(error) })
        this.#dropped.storage_failed += 1
      }
      this.#waitingBytes = this.#waiting.length === 0 ? 0 : this.#waitingBytes - record.byteLength
    }
  }

  #count(model: string): { sample: number; failure: number } {
    const known = this.#captured.get(model) ?? { sample: 0, failure: 0 }
    this.#captured.set(model, known)
    return known
  }

  get snapshot() {
    const { segments } = this.#parts
    const models = new Set([...this.#captured.keys(), ...segments.models, ...this.rules.ordered])
    return {
      dropped: { ...this.#dropped },
      models: [...models].sort().map((model) => {
        const { percent = 0, onFailure = false } = this.rules.rule(model) ?? {}
        return {
          model,
          percent,
          on_failure: onFailure,
          ordered_seconds_left: this.rules.secondsLeft(model) ?? null,
          captured: { ...(this.#captured.get(model) ?? { sample: 0, failure: 0 }) },
          bytes: segments.bytesOf(model),
        }
      }),
    }
  }

  /** What has been taken is on disk after this. */
  async flush(): Promise<void> {
    await this.#writing
  }

  async close(): Promise<void> {
    await this.flush()
    await this.#parts.segments.close()
  }
}

export type CaptureSnapshot = Capture['snapshot']

function describeError(error: unknown): { code: string; message: string } {
  const code = error instanceof EdgeError ? error.code : 'internal'
  return { code, message: messageOf(error).slice(0, MESSAGE_LENGTH_MAX) }
}
