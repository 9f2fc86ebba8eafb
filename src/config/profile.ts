import { z } from 'zod'
import arm64 from '../../firmware-profiles/arm64.toml' with { type: 'text' }
import x64 from '../../firmware-profiles/x64.toml' with { type: 'text' }
import { parseToml } from './toml.ts'

/** What is known of a class of hardware: how to recognise it and what suits it. */
const Profile = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]+$/),
  title: z.string().min(1),
  match: z.strictObject({ architecture: z.enum(['x64', 'arm64']) }),
  runtime: z.strictObject({
    /** Paths of libonnxruntime.so to try, in order, before the one inside the binary. */
    libraries: z.array(z.string()).default([]),
    /** Providers in order of preference. */
    providers: z.array(z.string()).min(1),
  }),
})

export type Profile = Readonly<z.infer<typeof Profile>>

const PROFILES = [
  parseToml(Profile, { path: 'firmware-profiles/x64.toml', text: x64 as unknown as string }),
  parseToml(Profile, { path: 'firmware-profiles/arm64.toml', text: arm64 as unknown as string }),
]

/** The profile of this machine, and why it is that. */
export function chooseProfile(facts: { architecture: string }): { profile: Profile; reason: string } {
  const profile = PROFILES.find(({ match }) => match.architecture === facts.architecture)
  if (profile !== undefined) return { profile, reason: `the processor is ${facts.architecture}` }
  const fallback = PROFILES[0] as Profile
  return { profile: fallback, reason: `no profile knows the processor ${facts.architecture}: safe defaults` }
}
