import { z } from 'zod'
import { GpuSettings } from './gpu-settings.ts'

/** An option's value in ONNX Runtime is always text; a config may also say a number or a switch. */
const OptionValue = z.union([
  z.string(),
  z.number().transform(String),
  z.boolean().transform((value) => (value ? '1' : '0')),
])

/** Providers in order, by name alone or with their options. */
export const Providers = z.array(
  z.union([
    z.string().transform((name) => ({ name, options: {} as Record<string, string> })),
    z.strictObject({ name: z.string(), options: z.record(z.string(), OptionValue).default({}) }),
  ]),
)

/** How ONNX Runtime runs a model. The words are those of its session options. */
export const SessionSettings = z.strictObject({
  /** In order; "cpu" always comes last, named or not. Without it the firmware profile decides. */
  providers: Providers.optional(),
  gpu: GpuSettings.optional(),
  /** Threads within one run. One, and several runs side by side, gives the most answers a second. */
  intra_op_threads: z.int().min(0).max(256).default(1),
  inter_op_threads: z.int().min(0).max(256).default(1),
  execution_mode: z.enum(['sequential', 'parallel']).default('sequential'),
  graph_optimization: z.enum(['none', 'basic', 'extended', 'all']).default('all'),
  /** Whether what is made of the model is kept on the disk, where the device keeps such at all. */
  engine_cache: z.boolean().default(true),
  memory_arena: z.boolean().default(true),
  memory_pattern: z.boolean().default(true),
  free_dimensions: z.record(z.string(), z.int().min(1)).default({}),
  /** Entries of onnxruntime_session_options_config_keys.h. */
  config_entries: z.record(z.string(), OptionValue).default({}),
})

export type SessionSettings = z.infer<typeof SessionSettings>
