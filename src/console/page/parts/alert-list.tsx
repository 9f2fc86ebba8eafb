import { Link } from '../router.tsx'
import { Ago } from './page.tsx'
import { Status } from './status.tsx'

export interface Alert {
  readonly device: string
  readonly name: string
  readonly subject?: string
  readonly severity: string
  readonly since: string
  readonly message: string
  readonly cleared?: string | null
}

/** How grave, whose, what, since when. */
export function AlertList(props: { readonly alerts: readonly Alert[]; readonly isOfOne?: boolean }) {
  return (
    <ul class="alerts">
      {props.alerts.map((alert) => {
        const over = alert.cleared ?? undefined
        return (
          <li key={`${alert.device} ${alert.name} ${alert.subject} ${alert.message}`}>
            <Status tone={over !== undefined ? 'quiet' : alert.severity === 'critical' ? 'bad' : 'warning'}>
              {over === undefined ? alert.severity : 'over'}
            </Status>
            <span>
              {props.isOfOne === true ? null : (
                <>
                  <Link href={`/devices/${alert.device}`} class="strong">
                    {alert.device}
                  </Link>{' '}
                </>
              )}
              {alert.message}
            </span>
            <span class="note">
              <Ago time={over ?? alert.since} />
            </span>
          </li>
        )
      })}
    </ul>
  )
}
