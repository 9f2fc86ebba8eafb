import type { ProviderDevice, RegisteredLibrary } from '../runtime/provider-library.ts'
import type { Finding } from './doctor.ts'

/** What doctor says of each plug-in provider. One that somebody wants and that does not load needs a person. */
export function describeLibraries(
  libraries: readonly RegisteredLibrary[],
): [verdict: Finding['verdict'], what: string][] {
  return libraries.map((library) => {
    const { name, path, devices } = library
    if ('problem' in library) return ['bad', `${name}: not available: ${library.problem}`]
    const { chosen } = library
    const others = devices.filter((device) => device !== chosen).map(describeDevice)
    const version = chosen.version === undefined ? '' : ` ${chosen.version}`
    const words = [
      `${name}: ${chosen.provider}${version} of ${chosen.vendor}, from "${path}"`,
      `runs on ${describeDevice(chosen)}`,
      ...(others.length === 0 ? [] : [`could also run on ${others.join(', ')}`]),
    ]
    return ['good', words.join('; ')]
  })
}

function describeDevice({ provider, kind, deviceVendor, deviceId }: ProviderDevice): string {
  return `${provider} on ${kind} ${deviceVendor} 0x${(deviceId >>> 0).toString(16)}`
}
