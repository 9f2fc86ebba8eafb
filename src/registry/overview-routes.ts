import type { Alert, Alerts } from './alerts.ts'
import type { FleetView } from './fleet-view.ts'
import type { Route } from './route.ts'

const ALERTS_MAX = 5

export interface OverviewParts {
  readonly fleet: FleetView
  readonly alerts: Alerts
}

/** What an operator sees first. */
export function overviewRoutes({ fleet, alerts }: OverviewParts): Route[] {
  return [
    [
      'viewer',
      'GET',
      '/v1/overview',
      (c) => {
        const { warning, critical, newest } = alerts.summary(ALERTS_MAX)
        return c.json({
          ...fleet.overview(),
          alerts: { warning, critical, newest: newest.map(describe) },
        })
      },
    ],
  ]
}

function describe({ since, device, name, severity, message }: Alert): object {
  return { device, name, severity, message, since: new Date(since).toISOString() }
}
