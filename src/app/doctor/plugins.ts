import type { ProviderDevice, RegisteredLibrary } from '../../runtime/provider-library.ts'
import { type Check, checksOf } from './check.ts'

const { ok, fault } = checksOf('providers')

/** Of each plug-in provider. One that somebody wants and that does not load needs a person. */
export function judgePlugins(libraries: readonly RegisteredLibrary[]): Check[] {
  return libraries.map((library) => {
    const { name, path, devices } = library
    const facts = { provider: name, path }
    if ('problem' in library) return fault('absent', `${name}: not available: ${library.problem}`, { facts })
    const { chosen } = library
    const others = devices.filter((device) => device !== chosen).map(describeDevice)
    const version = chosen.version === undefined ? '' : ` ${chosen.version}`
    const words = [
      `${name}: ${chosen.provider}${version} of ${chosen.vendor}, from "${path}"`,
      `runs on ${describeDevice(chosen)}`,
      ...(others.length === 0 ? [] : [`could also run on ${others.join(', ')}`]),
    ]
    return ok('available', words.join('; '), { facts: { ...facts, version: chosen.version ?? null } })
  })
}

function describeDevice({ provider, kind, deviceVendor, deviceId }: ProviderDevice): string {
  return `${provider} on ${kind} ${deviceVendor} 0x${(deviceId >>> 0).toString(16)}`
}
