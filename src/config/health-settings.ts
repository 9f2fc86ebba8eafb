import { z } from 'zod'

const Percent = z.number().min(0).max(100)
/** From where on it is an alert; one that is left out never is. */
const limits = <Value extends z.ZodType<number>>(
  value: Value,
  defaults: { warning?: number; critical?: number },
) =>
  z
    .strictObject({ warning: value.optional(), critical: value.optional() })
    .prefault(
      defaults as z.input<z.ZodObject<{ warning: z.ZodOptional<Value>; critical: z.ZodOptional<Value> }>>,
    )

/** What the device measures of itself, and when that is an alert. */
export const HealthSettings = z.strictObject({
  /** Below which the board's files are read. */
  root: z.string().min(1).default('/'),
  /** Between two readings. */
  sample_seconds: z.number().min(0.1).max(3600).default(10),
  /** Between two points that are kept: 10 takes six times the room of 60. */
  points_seconds: z.union([z.literal(10), z.literal(60)]).default(60),
  /** What events and measured values may take of the disk while the registry cannot be reached. */
  outbox_bytes_max: z
    .int()
    .min(64 * 1024)
    .max(2 ** 40)
    .default(64 * 1024 ** 2),
  /** Measured values that are older are let go. */
  outbox_days: z.int().min(1).max(3_650).default(90),
  alerts: z
    .strictObject({
      temperature_celsius: limits(z.number().min(-100).max(250), { warning: 90, critical: 100 }),
      /** 1 is throttled, 0 is not. */
      throttled: limits(z.number().min(0).max(1), { warning: 1 }),
      disk_used_percent: limits(Percent, { warning: 90, critical: 97 }),
      disk_wear_percent: limits(z.number().min(0).max(200), { warning: 80, critical: 100 }),
      memory_used_percent: limits(Percent, { warning: 92, critical: 98 }),
      /** Of a model's requests since the reading before. */
      model_error_percent: limits(Percent, { warning: 5, critical: 25 }),
      model_p95_ms: limits(z.number().min(0), {}),
      /** Providers that a model was taken from because they failed while they ran. */
      model_providers_failed: limits(z.number().min(0), { warning: 1 }),
      /** Before it expires. */
      certificate_days: limits(z.number().min(0), { warning: 30, critical: 7 }),
      metadata_hours: limits(z.number().min(0), { warning: 48, critical: 0 }),
      /** Ahead of the registry's, or behind it. */
      clock_offset_seconds: limits(z.number().min(0), { warning: 30, critical: 3600 }),
    })
    .prefault({}),
})

export type HealthSettings = Readonly<z.infer<typeof HealthSettings>>
