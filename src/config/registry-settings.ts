import { z } from 'zod'

const TimeOfDay = z.string().regex(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'expected a time like 22:30')
const BytesPerSecond = z
  .int()
  .min(1024)
  .max(2 ** 40)

/** How the device keeps in touch with the registry that it is enrolled at. */
export const RegistrySettings = z.strictObject({
  /** Another broker than the one that the registry named at the enrolment. */
  mqtt_url: z
    .string()
    .regex(/^mqtts?:\/\/[^/\s]+\/?$/, 'expected mqtt://HOST:PORT or mqtts://HOST:PORT')
    .optional(),
  /** Where others ask this device's models, as they reach it; told to the registry, for monitoring and load balancers. */
  advertise_url: z
    .url({ protocol: /^https?$/ })
    .max(512)
    .optional(),
  /** What stands before every topic. */
  topic_prefix: z
    .string()
    .regex(/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+){0,7}$/)
    .default('limpet/v1'),
  /** Certificates as PEM files, for mqtts and https. */
  ca_file: z.string().min(1).optional(),
  certificate_file: z.string().min(1).optional(),
  key_file: z.string().min(1).optional(),
  /** The ways by which files come, the one to try first comes first. */
  transports: z
    .array(z.enum(['http', 'mqtt']))
    .min(1)
    .max(2)
    .default(['http', 'mqtt']),
  /** Of one MQTT message. */
  payload_bytes_max: z.int().min(1024).max(262_144).default(122_880),
  keepalive_seconds: z.int().min(5).max(3600).default(60),
  heartbeat_seconds: z.int().min(5).max(3600).default(30),
  /** Without a word from the registry it is asked this often what to run. */
  poll_seconds: z.int().min(5).max(86_400).default(300),
  /** After the machine has started it calls the registry within so long, at random: a site comes back from a power cut as one. */
  first_contact_seconds_max: z.int().min(0).max(3600).default(30),
  /** A transfer without a new chunk for so long is given up, and begun again later. */
  idle_seconds_max: z.int().min(5).max(86_400).default(300),
  /** What downloads may take of the line; without it all there is. */
  bytes_per_second_max: BytesPerSecond.optional(),
  /** What events and telemetry may take of the line; without it a quarter of the limit above, or 16 KiB a second. */
  report_bytes_per_second_max: BytesPerSecond.optional(),
  /** Parts of the day, in UTC as maintenance windows are, with another limit; 0 takes all there is. */
  bandwidth_hours: z
    .array(
      z.strictObject({
        from: TimeOfDay,
        to: TimeOfDay,
        bytes_per_second_max: z.union([z.literal(0), BytesPerSecond]),
      }),
    )
    .max(24)
    .default([]),
  /** While this file is there nothing is switched. Default: "inhibit" in the state folder. */
  inhibit_file: z.string().min(1).optional(),
  probe_seconds_max: z.int().min(1).max(86_400).default(3600),
})

export type RegistrySettings = Readonly<z.infer<typeof RegistrySettings>>
