import { readFile } from 'node:fs/promises'
import { chooseProfile } from '../../config/profile.ts'
import type { HostPort } from '../../ota/ports.ts'
import type { Hardware } from '../../trust/manifest.ts'

/** What this machine calls itself in manifests. */
export function deviceHardware(): Hardware {
  const { profile } = chooseProfile({ architecture: process.arch })
  return { names: [...new Set([process.arch, profile.name])], providers: profile.runtime.providers }
}

export const host: HostPort = {
  hardware: deviceHardware(),
  freeMemoryBytes: async () => {
    const text = await readFile('/proc/meminfo', 'utf8')
    return Number(/^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024
  },
}
