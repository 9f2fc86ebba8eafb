import { z } from 'zod'
import { ClientHints } from './client-hints.ts'
import { SessionSettings } from './session-settings.ts'
import { parseToml } from './toml.ts'

/** A model's `config.toml`, complete. Without a file everything has its default. */
const ModelSettings = z.strictObject({
  /** "latest", "all", or the versions by name. */
  version_policy: z.union([z.enum(['latest', 'all']), z.array(z.string().min(1)).min(1)]).default('latest'),
  session: SessionSettings.prefault({}),
  /** For `limpet infer`; the data plane only passes it on. */
  client: ClientHints.optional(),
})

export type ModelSettings = Readonly<z.infer<typeof ModelSettings>>

export function parseModelSettings(file: { path: string; text: string } | undefined): ModelSettings {
  return Object.freeze(file === undefined ? ModelSettings.parse({}) : parseToml(ModelSettings, file))
}
