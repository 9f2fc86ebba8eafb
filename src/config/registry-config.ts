import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { parseToml } from './toml.ts'

const Port = z.int().min(0).max(65_535)
const File = z.string().min(1)

/** Everything that can be set for a registry, with its bounds. Unknown keys are refused. */
const RegistryConfig = z.strictObject({
  log_level: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
  http: z
    .strictObject({
      host: z.string().min(1).default('127.0.0.1'),
      /** 0 takes any free one. */
      port: Port.default(8100),
      /** With both, it is HTTPS. */
      cert_file: File.optional(),
      key_file: File.optional(),
    })
    .prefault({}),
  mqtt: z
    .strictObject({
      /** Of the broker inside; without a `broker`. */
      host: z.string().min(1).optional(),
      port: Port.default(1883),
      /** Another broker than the one inside: `mqtt://` or `mqtts://`. */
      broker: z.url({ protocol: /^mqtts?$/ }).optional(),
      /** Where devices find the broker, when that is not where the registry finds it. */
      public_url: z.url({ protocol: /^mqtts?$/ }).optional(),
      prefix: z
        .string()
        .regex(/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+){0,4}$/)
        .default('limpet/v1'),
      /** As whom the registry comes to a `broker`. */
      username: z.string().min(1).default('limpet-registry'),
      password_file: File.optional(),
      /** Of the broker inside, or for the line to the other one. */
      cert_file: File.optional(),
      key_file: File.optional(),
      /** Whose certificates count: of devices at the broker inside, of the other broker otherwise. */
      ca_file: File.optional(),
    })
    .prefault({}),
  /** Where devices that say how they are reached are registered as services, for load balancers that ask Consul. */
  consul: z
    .strictObject({
      /** Of the agent's HTTP API. */
      url: z.url({ protocol: /^https?$/ }),
      /** Of every device; what stands before the device in the service's id, too. */
      service: z
        .string()
        .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/)
        .default('limpet'),
      /** Those that a balancer wants to see, like "traefik.enable=true". */
      tags: z.array(z.string().min(1).max(255)).max(32).default([]),
      /** Holds Consul's token. */
      token_file: File.optional(),
      /** Between two looks. */
      every_seconds: z.int().min(1).max(3600).default(10),
      /** Between two checks that Consul's agent makes of a device. */
      check_seconds: z.int().min(1).max(3600).default(10),
      /** A device that is away stays registered for so long: whether it answers is for Consul's check to say. */
      away_seconds: z.int().min(0).max(86_400).default(300),
    })
    .optional(),
  rollouts: z
    .strictObject({
      /** Whether every rollout needs somebody else than who made it to approve it. */
      approval: z.enum(['none', 'second_person']).default('none'),
    })
    .prefault({}),
  enrolment: z
    .strictObject({
      /** From one address at once, and then one more each so many seconds. */
      attempts_max: z.int().min(1).max(10_000).default(10),
      attempt_seconds: z.int().min(1).max(86_400).default(30),
    })
    .prefault({}),
  console: z
    .strictObject({
      /** How long a browser that has shown a key may go on without it. */
      session_hours: z.int().min(1).max(720).default(12),
      /** Of logging in, from one address at once, and then one more each so many seconds. */
      attempts_max: z.int().min(1).max(10_000).default(10),
      attempt_seconds: z.int().min(1).max(86_400).default(10),
    })
    .prefault({}),
  /** What devices have measured: when it is too much, the oldest fine points go first. */
  telemetry: z
    .strictObject({
      bytes_max: z
        .int()
        .min(1024 ** 2)
        .max(2 ** 50)
        .default(8 * 1024 ** 3),
      /** How long points stay as fine as they came. */
      minutes_days: z.int().min(1).max(3_650).default(7),
      /** How long those of ten minutes stay. */
      ten_minutes_days: z.int().min(1).max(3_650).default(90),
    })
    .prefault({}),
})

export type RegistryConfig = Readonly<z.infer<typeof RegistryConfig>>

/** The config file, or all defaults without one. */
export async function loadRegistryConfig(path: string | undefined): Promise<RegistryConfig> {
  if (path === undefined) return Object.freeze(RegistryConfig.parse({}))
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new EdgeError('config_invalid', `Cannot read the config "${path}": ${messageOf(cause)}`, { cause })
  })
  return Object.freeze(parseToml(RegistryConfig, { path, text }))
}
