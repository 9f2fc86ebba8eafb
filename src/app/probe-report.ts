import { z } from 'zod'
import type { ProbeFailure } from '../ota/ports.ts'

/** What `limpet probe` prints: the verdict on one version, and what it was measured. */
const Tensor = z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.int()).nullable() })

export const ProbeReport = z.object({
  format: z.literal(1),
  fit: z.boolean(),
  /** Why it is not fit: one word, "" when it is. */
  code: z.enum([
    '',
    'load_failed',
    'golden_failed',
    'not_finite',
    'probe_crashed',
    'probe_timeout',
    'memory_exceeded',
  ]) satisfies z.ZodType<ProbeFailure | ''>,
  reason: z.string(),
  version: z.string(),
  providers: z.array(z.string()),
  /** Why it does not run on those that were wanted before them. */
  refusals: z.array(z.string()),
  /** Nodes of its graph on each of them; null where the runtime library does not tell. */
  placement: z
    .array(z.object({ provider: z.string(), nodes: z.int(), operators: z.array(z.string()) }))
    .nullable(),
  signature: z.object({ inputs: z.array(Tensor), outputs: z.array(Tensor) }).nullable(),
  load_ms: z.number().nullable(),
  golden: z.object({ samples: z.int(), passed: z.int() }).nullable(),
  /** Of the golden samples, one at a time. */
  latency: z.object({ runs: z.int(), p50_ms: z.number(), p95_ms: z.number() }).nullable(),
  memory: z.object({ resident_bytes_max: z.int(), limit_bytes: z.int() }).nullable(),
})

export type ProbeReport = Readonly<z.infer<typeof ProbeReport>>

/** Of a version that shows nothing. */
export function unfitReport(code: ProbeFailure, reason: string): ProbeReport {
  return {
    format: 1,
    fit: false,
    code,
    reason,
    version: '',
    providers: [],
    refusals: [],
    placement: null,
    signature: null,
    load_ms: null,
    golden: null,
    latency: null,
    memory: null,
  }
}
