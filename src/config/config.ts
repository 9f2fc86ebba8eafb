import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { EngineSettings } from './engine-settings.ts'
import { HealthSettings } from './health-settings.ts'
import { HttpSettings } from './http-settings.ts'
import { NamedLibraries } from './provider-libraries.ts'
import { RegistrySettings } from './registry-settings.ts'
import { Providers } from './session-settings.ts'
import { ThermalSettings } from './thermal-settings.ts'
import { parseToml } from './toml.ts'

/** Everything that can be set for a device, with its bounds. Unknown keys are refused. */
const Config = z.strictObject({
  log_level: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
  http: HttpSettings.prefault({}),
  runtime: z
    .strictObject({
      /** Another libonnxruntime.so than the one inside the binary. */
      library: z.string().min(1).optional(),
      /** Threads that run models; 0 takes one for each core. Without it the firmware profile decides. */
      threads: z.int().min(0).max(256).optional(),
      /** In order of preference, for models that do not say it themselves. Without it the firmware profile decides. */
      providers: Providers.min(1).optional(),
      /** Plug-in providers by the path of their library. Without it the firmware profile says where some may be. */
      provider_libraries: NamedLibraries.optional(),
    })
    .prefault({}),
  profile: z
    .strictObject({
      /** A firmware profile by its name, instead of the one that the board is recognised by. */
      name: z.string().min(1).optional(),
      /** A folder with profiles of one's own, *.toml; one with the name of a built-in one counts instead of it. */
      folder: z.string().min(1).optional(),
      /** Below here is looked for what the board says of itself; for trying out another one. */
      facts_root: z.string().startsWith('/').default('/'),
    })
    .prefault({}),
  models: z
    .strictObject({
      /**
       * "explicit": loaded at the start, then by the repository API. "poll": kept in step with the folder. "none": loaded
       * at the start, and left as they are.
       */
      control: z.enum(['explicit', 'poll', 'none']).default('explicit'),
      /** Between two looks at the folder; a change is taken up at the second look that finds it unchanged. */
      poll_seconds: z.number().min(0.05).max(86_400).default(15),
      /** What warming up one version may take; a load that takes longer there fails. */
      warmup_seconds_max: z.number().min(0.01).max(3600).default(60),
      /**
       * What all loaded versions together may take of the main memory; 0 is no bound. Without it the firmware profile
       * decides.
       */
      memory_bytes_max: z
        .int()
        .min(0)
        .max(2 ** 50)
        .optional(),
      /** How long a request may wait for its version to be loaded. */
      load_wait_seconds_max: z.number().min(0.01).max(3600).default(30),
      /** Requests that wait for versions to be loaded, all together. */
      load_wait_items_max: z.int().min(1).max(65_536).default(256),
    })
    .prefault({}),
  inference: z
    .strictObject({
      /** Requests inside the server at once, waiting or running. */
      requests_max: z.int().min(1).max(65_536).default(1024),
      /** What the bodies of all those requests may come to. */
      bytes_max: z
        .int()
        .min(1024)
        .max(2 ** 40)
        .default(1024 ** 3),
      /** Requests waiting for one version of a model. */
      queue_items_max: z.int().min(1).max(65_536).default(256),
      /** What kept answers may come to, of all models with `response_cache` together; 0 keeps none. */
      cache_bytes_max: z
        .int()
        .min(0)
        .max(2 ** 40)
        .default(0),
    })
    .prefault({}),
  engine_cache: EngineSettings.prefault({}),
  registry: RegistrySettings.prefault({}),
  /** Requests that models ask to be kept, or that somebody asks for from afar. */
  capture: z
    .strictObject({
      /** False: none, whatever a model's config or a command says. */
      allowed: z.boolean().default(true),
      /** On disk, of all models together. */
      bytes_max: z
        .int()
        .min(65_536)
        .max(2 ** 40)
        .default(256 * 1024 ** 2),
      /** Written to the disk; what comes on top is let go. */
      bytes_per_minute_max: z
        .int()
        .min(65_536)
        .max(2 ** 40)
        .default(64 * 1024 ** 2),
    })
    .prefault({}),
  health: HealthSettings.prefault({}),
  thermal: ThermalSettings,
  commands: z
    .strictObject({
      /** Blinks when somebody asks the device to make itself known: a folder like /sys/class/leds/user. */
      identify_led: z.string().min(1).optional(),
      /** Run for the same: a program and its arguments. */
      identify_command: z.array(z.string().min(1)).min(1).max(32).optional(),
    })
    .prefault({}),
  supervisor: z
    .strictObject({
      /** How long a stopping process may take before it is killed. */
      stop_seconds_max: z.int().min(1).max(600).default(30),
      /** Failures in a row, none after a healthy minute, that make a crash loop. */
      failures_max: z.int().min(1).max(1000).default(8),
    })
    .prefault({}),
})

export type Config = Readonly<z.infer<typeof Config>>

/** The config file, or all defaults without one. */
export async function loadConfig(path: string | undefined): Promise<Config> {
  if (path === undefined) return Object.freeze(Config.parse({}))
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new EdgeError('config_invalid', `Cannot read the config "${path}": ${messageOf(cause)}`, { cause })
  })
  return Object.freeze(parseToml(Config, { path, text }))
}
