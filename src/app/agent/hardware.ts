import { readFile } from 'node:fs/promises'
import type { Config } from '../../config/config.ts'
import type { HostPort } from '../../ota/ports.ts'
import type { Hardware } from '../../trust/manifest.ts'
import { findProfile } from '../profile.ts'
import { offeredProviders } from '../runtime.ts'

/** What this machine calls itself in manifests; the profile's own name comes last, and says the most. */
export async function deviceHardware(config: Config): Promise<Hardware> {
  const profile = await findProfile(config)
  const { name, hardware } = profile.profile
  const jetpack = profile.generation === undefined ? [] : [`jetpack${profile.generation.jetpack}`]
  const names = new Set([process.arch, ...hardware, ...jetpack])
  names.delete(name)
  return { names: [...names, name], providers: await offeredProviders({ config, profile }) }
}

export async function openHost(config: Config): Promise<HostPort> {
  return {
    hardware: await deviceHardware(config),
    freeMemoryBytes: async () => {
      const text = await readFile('/proc/meminfo', 'utf8')
      return Number(/^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024
    },
  }
}
