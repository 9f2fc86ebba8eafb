import { z } from 'zod'
import { EnginePolicy } from './engine-settings.ts'
import { ProviderLibraries } from './provider-libraries.ts'
import { Providers } from './session-settings.ts'

const Name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/)
const Paths = z.array(z.string().startsWith('/'))

/** One way to recognise a board: all that it names has to hold. */
const Match = z.strictObject({
  architecture: z.enum(['x64', 'arm64']),
  /** Any of these words in /proc/device-tree/compatible, like "p3767-0000" or "tegra234". */
  device_tree: z.array(z.string().min(1)).min(1).optional(),
  /** A GPU on PCI: vendor and device, or a range of devices, as in "10de:2680-28ff". */
  pci: z
    .array(z.string().regex(/^[0-9a-f]{4}:[0-9a-f]{4}(-[0-9a-f]{4})?$/))
    .min(1)
    .optional(),
  /** A processor: on Arm implementer and part, "0x41:0xd42"; on x86 its vendor, "GenuineIntel". */
  cpu: z.array(z.string().min(1)).min(1).optional(),
  /** A major release in /etc/nv_tegra_release. */
  l4t: z.array(z.int().min(1)).min(1).optional(),
  /** Among matches that look at the same facts, the higher counts. */
  weight: z.int().min(0).max(999).default(0),
})

export type Match = Readonly<z.infer<typeof Match>>

/** A generation of JetPack, told by the release of L4T that it is made of. */
const Generation = z.strictObject({
  jetpack: z.string().min(1),
  l4t: z.array(z.int().min(1)).min(1),
  cuda: z.string().min(1),
  tensorrt: z.string().min(1),
  /** Tried before those of `runtime.libraries`. */
  libraries: Paths.default([]),
})

export type Generation = Readonly<z.infer<typeof Generation>>

/** What is known of a class of hardware: how to recognise it and what suits it. */
export const Profile = z.strictObject({
  name: Name,
  title: z.string().min(1),
  match: z.array(Match).default([]),
  /** What manifests may call such a board, beside its architecture and the profile's name. */
  hardware: z.array(Name).default([]),
  runtime: z.strictObject({
    /** Paths of libonnxruntime.so to try, in order, before the one inside the binary. */
    libraries: Paths.default([]),
    /** Providers in order of preference; what the library lacks or refuses is passed over, and said. */
    providers: Providers.min(1),
    /** Providers that the board has too, for models whose settings name them. */
    providers_on_request: z.array(z.string().min(1)).default([]),
    /** Places where plug-in providers may be; of several with one name the first that is there counts. */
    provider_libraries: ProviderLibraries.default([]),
    /** Threads that run models; 0 takes one for each core. */
    threads: z.int().min(0).max(256).default(0),
  }),
  generations: z.array(Generation).default([]),
  memory: z
    .strictObject({
      /** GPU and processors share it: what models take is gone for everybody. */
      unified: z.boolean().default(false),
      /** What all loaded versions together may take, as a share of the main memory; 0 is no bound. */
      share_max: z.number().min(0).max(1).default(0),
    })
    .prefault({}),
  /** Told to whoever looks: nothing here is switched by Limpet. */
  power: z.strictObject({ mode: z.string().min(1).optional() }).prefault({}),
  thermal: z
    .strictObject({
      /** Where the board slows itself down. */
      throttle_celsius: z.number().min(0).max(150).optional(),
      /** Where load should be shed so that it does not come to that. */
      shed_celsius: z.number().min(0).max(150).optional(),
    })
    .prefault({}),
  sensors: z
    .strictObject({
      thermal_zones: z.array(z.string().min(1)).default([]),
      power_rails: z.array(z.string().min(1)).default([]),
    })
    .prefault({}),
  engine_cache: EnginePolicy.prefault({}),
  telemetry: z.strictObject({ period_seconds: z.int().min(1).max(3600).default(60) }).prefault({}),
})

export type Profile = Readonly<z.infer<typeof Profile>>
