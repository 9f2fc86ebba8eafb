import type { Alert, Alerts } from './alerts.ts'
import type { FleetView } from './fleet-view.ts'
import { LIVE } from './rollout.ts'
import type { Rollouts } from './rollouts.ts'
import type { Route } from './route.ts'

const ALERTS_MAX = 5
const ROLLOUTS_MAX = 20

export interface OverviewParts {
  readonly fleet: FleetView
  readonly alerts: Alerts
  readonly rollouts: Rollouts
}

/** What an operator sees first. */
export function overviewRoutes({ fleet, alerts, rollouts }: OverviewParts): Route[] {
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
          rollouts: rollouts.store
            .open()
            .filter(({ state }) => LIVE.includes(state))
            .slice(0, ROLLOUTS_MAX)
            .map(({ id, model, version, state }) => ({ id, model, version, state })),
        })
      },
    ],
  ]
}

function describe({ since, device, name, severity, message }: Alert): object {
  return { device, name, severity, message, since: new Date(since).toISOString() }
}
