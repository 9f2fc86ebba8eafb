import { prometheusTargets } from './discovery.ts'
import type { Endpoints } from './endpoints.ts'
import { type MetricSources, writeFleetMetrics } from './fleet-metrics.ts'
import type { Route } from './route.ts'

export interface DiscoveryParts extends MetricSources {
  readonly endpoints: Endpoints
}

/** What monitoring asks: where the devices are, and how the fleet is. */
export function discoveryRoutes(parts: DiscoveryParts): Route[] {
  return [
    ['viewer', 'GET', '/v1/discovery/prometheus', (c) => c.json(prometheusTargets(parts.endpoints.list()))],
    [
      'viewer',
      'GET',
      '/metrics',
      (c) =>
        c.body(writeFleetMetrics(parts), 200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' }),
    ],
  ]
}
