import type { Endpoint } from './endpoints.ts'

/** One entry of Prometheus' HTTP service discovery. */
export interface TargetGroup {
  readonly targets: readonly string[]
  readonly labels: Readonly<Record<string, string>>
}

/**
 * Every device that says where it can be asked, those that are away among them: Prometheus is to see that they are. What
 * begins with two underscores is gone after relabelling, so that a device that comes and goes stays one series.
 */
export function prometheusTargets(endpoints: readonly Endpoint[]): TargetGroup[] {
  return endpoints.map(({ device, url, hardware, tags, isOnline }) => ({
    targets: [`${url.hostname}:${portOf(url)}`],
    labels: {
      device,
      __scheme__: url.protocol.slice(0, -1),
      __metrics_path__: `${basePath(url)}/metrics`,
      // Between commas on both sides, so that a pattern may ask for one of them, as Prometheus' own discoveries do.
      __meta_limpet_hardware: `,${hardware.join(',')},`,
      __meta_limpet_liveness: isOnline ? 'alive' : 'offline',
      ...Object.fromEntries(
        Object.entries(tags).map(([name, text]) => [`__meta_limpet_tag_${labelOf(name)}`, text]),
      ),
    },
  }))
}

/** A label's name has letters, digits and underscores only. */
function labelOf(tag: string): string {
  return tag.replaceAll(/[^A-Za-z0-9_]/g, '_')
}

export function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port)
  return url.protocol === 'https:' ? 443 : 80
}

/** Without a slash at its end. */
export function basePath(url: URL): string {
  return url.pathname.replace(/\/+$/, '')
}
