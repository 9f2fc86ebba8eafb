import { z } from 'zod'
import { messageOf } from '../kit/errors.ts'
import { type CanonicalValue, decodeCanonical, encodeCanonical } from './canonical-json.ts'
import { type EnvelopeKey, openEnvelope, sealEnvelope } from './dsse.ts'
import type { SigningKey } from './key.ts'
import { isVersionName, splitModel } from './names.ts'
import { requireTrust, TrustRefusal } from './refusal.ts'

/** What one device should run, said by the director. It chooses among what publishers have signed, nothing else. */
export const ASSIGNMENT_TYPE = 'application/vnd.limpet.assignment+json'
export const ASSIGNMENT_BYTES_MAX = 256 * 1024
const BOUNDS = { bytesMax: ASSIGNMENT_BYTES_MAX, depthMax: 8 } as const

const Instant = z.iso.datetime()
const Percent = z.int().min(0).max(100_000)

const Schedule = z.object({
  not_before: Instant.optional(),
  /** A cron expression: when the window opens. */
  window: z.string().min(1).max(128).optional(),
  window_seconds: z.int().min(1).max(604_800).optional(),
  defer_seconds_max: z.int().min(0).max(31_536_000).optional(),
})

const Policy = z.object({
  observe_seconds: z.int().min(0).max(604_800).optional(),
  requests_min: z
    .int()
    .min(0)
    .max(10 ** 9)
    .optional(),
  error_percent_max: Percent.optional(),
  p95_percent_max: Percent.optional(),
  crashes_max: z.int().min(0).max(1000).optional(),
  on_failure: z.enum(['revert', 'keep']).optional(),
  approval: z.enum(['none', 'operator']).optional(),
})

const AssignedModel = z.object({
  model: z.string().refine((model) => splitModel(model) !== undefined, { error: 'expected family/name' }),
  version: z.string().refine(isVersionName, { error: 'expected a name without a slash' }),
  /** SHA-256 of the manifest. */
  manifest: z.string().regex(/^[0-9a-f]{64}$/),
  release: z
    .int()
    .min(1)
    .max(2 ** 40),
  rollout: z.string().max(128).optional(),
  wave: z.int().min(0).max(1000).optional(),
  priority: z.int().min(0).max(100).optional(),
  schedule: Schedule.optional(),
  policy: Policy.optional(),
  allow_downgrade: z.boolean().default(false),
})

const Assignment = z.object({
  device: z.string().min(1).max(128),
  /** Rises with every change; a device takes nothing that is not above the last one. */
  rev: z
    .int()
    .min(1)
    .max(2 ** 52),
  issued: Instant,
  models: z
    .array(AssignedModel)
    .max(256)
    .refine((models) => new Set(models.map(({ model }) => model)).size === models.length, {
      error: 'a model is named twice',
    }),
  /** Versions to leave on disk: "vision/yolo@3.1.0". */
  keep: z.array(z.string().max(320)).max(256).default([]),
})

export type Assignment = z.infer<typeof Assignment>
export type AssignedModel = z.infer<typeof AssignedModel>

export function signAssignment(assignment: z.input<typeof Assignment>, director: SigningKey): Uint8Array {
  const payload = encodeCanonical(Assignment.parse(assignment) as CanonicalValue)
  return sealEnvelope(payload, { type: ASSIGNMENT_TYPE, keys: [director] })
}

/** Only what the director has signed, for this device, and newer than what was taken before. */
export function verifyAssignment(
  envelope: Uint8Array,
  expected: { device: string; directorKeys: readonly EnvelopeKey[]; lastRev: number },
): Assignment {
  requireTrust(
    expected.directorKeys.length > 0,
    'director_unknown',
    () => 'Cannot take the assignment: no key is listed that may sign one',
  )
  const { payload, isSigned } = open(envelope, expected.directorKeys)
  requireTrust(
    isSigned,
    'assignment_signature',
    () => 'Cannot take the assignment: it is not signed by a key that TUF lists for the director',
  )
  const assignment = parse(payload)
  requireTrust(
    assignment.device === expected.device,
    'assignment_other_device',
    () => `Cannot take the assignment: it is for "${assignment.device}", this is "${expected.device}"`,
  )
  requireTrust(
    assignment.rev > expected.lastRev,
    'assignment_replayed',
    () =>
      `Cannot take the assignment: its rev is ${assignment.rev}, taken was ${expected.lastRev}, expected a higher one`,
  )
  return assignment
}

function open(envelope: Uint8Array, keys: readonly EnvelopeKey[]) {
  try {
    return openEnvelope(envelope, { type: ASSIGNMENT_TYPE, keys, bytesMax: 2 * ASSIGNMENT_BYTES_MAX })
  } catch (cause) {
    throw malformed(cause)
  }
}

function parse(payload: Uint8Array): Assignment {
  try {
    return Assignment.parse(decodeCanonical(payload, BOUNDS))
  } catch (cause) {
    throw malformed(cause)
  }
}

function malformed(cause: unknown): TrustRefusal {
  const words = cause instanceof z.ZodError ? z.prettifyError(cause) : messageOf(cause)
  return new TrustRefusal(
    'assignment_malformed',
    `Cannot read the assignment: ${words.replaceAll('\n', ' ')}`,
    {
      cause,
    },
  )
}
