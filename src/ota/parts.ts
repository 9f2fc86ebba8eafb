import type { Clock } from '../kit/clock.ts'
import type { Random } from '../kit/random.ts'
import type { Journal } from './journal.ts'
import type { GatePort, HostPort, ProbePort, ServePort, StorePort, TrustPort } from './ports.ts'
import type { Turns } from './turns.ts'

/** What the steps work with. */
export interface Parts {
  readonly clock: Clock
  readonly random: Random
  readonly journal: Journal
  readonly turns: Turns
  readonly trust: TrustPort
  readonly store: StorePort
  readonly host: HostPort
  readonly probe: ProbePort
  readonly serve: ServePort
  readonly gate: GatePort
}
