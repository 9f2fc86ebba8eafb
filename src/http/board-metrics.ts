import type { Lane } from '../inference/lane.ts'
import type { Family } from '../kit/metrics-text.ts'
import type { ProviderFaults } from '../runtime/backend.ts'
import { idleProviders } from '../runtime/idle-providers.ts'

/** What the device takes its board for. */
export interface BoardState {
  /** Of the firmware profile. */
  readonly profile: string
  /** The generation of JetPack; "" where there is none. */
  readonly jetpack: string
  /** How many things on the board no profile knows. */
  readonly unknown: number
  /** Providers that are preferred on this board, and are not there. */
  readonly missing: readonly string[]
}

export function boardFamilies({ profile, jetpack, unknown, missing }: BoardState): Family[] {
  const families: Family[] = [
    {
      name: 'limpet_profile_info',
      help: 'The firmware profile that this board is served by',
      type: 'gauge',
      samples: [{ labels: { profile, jetpack }, value: 1 }],
    },
    {
      name: 'limpet_board_unknown',
      help: 'Things on this board that no firmware profile knows; above 0 it is served by safe defaults',
      type: 'gauge',
      samples: [{ labels: {}, value: unknown }],
    },
    {
      name: 'limpet_provider_missing',
      help: 'Providers that are preferred on this board, and are not there',
      type: 'gauge',
      samples: missing.map((provider) => ({ labels: { provider }, value: 1 })),
    },
  ]
  return families.filter(({ samples }) => samples.length > 0)
}

/** What each version runs on, and what would not have it. */
export function providerFamilies(lanes: readonly Lane[]): Family[] {
  const perLane = (providers: (lane: Lane) => readonly { provider: string; value: number }[]) =>
    lanes.flatMap((lane) =>
      providers(lane).map(({ provider, value }) => ({
        labels: { model: lane.model, version: lane.version, provider },
        value,
      })),
    )
  const one = (provider: string) => ({ provider, value: 1 })
  const perFault = (count: keyof ProviderFaults) =>
    lanes.flatMap(({ model, version, session: { faults } }) =>
      faults === undefined ? [] : [{ labels: { model, version }, value: faults[count] }],
    )
  const families: Family[] = [
    {
      name: 'limpet_lane_provider',
      help: 'Providers that a version was loaded with',
      type: 'gauge',
      samples: perLane(({ session }) => session.providers.map(one)),
    },
    {
      name: 'limpet_lane_provider_refused',
      help: 'Providers that were wanted for a version and refused it; it runs on those that are left',
      type: 'gauge',
      samples: perLane(({ session }) => session.refusals.map(({ provider }) => one(provider))),
    },
    {
      name: 'limpet_lane_provider_failed',
      help: 'Providers that a version was taken from because they failed while they ran',
      type: 'gauge',
      samples: perLane(({ session }) =>
        session.refusals.filter(({ hasFailed }) => hasFailed).map(({ provider }) => one(provider)),
      ),
    },
    {
      name: 'limpet_provider_failed_runs_total',
      help: 'Runs of a version on a provider that failed by no fault of their requests',
      type: 'counter',
      samples: perFault('failedRuns'),
    },
    {
      name: 'limpet_provider_repeated_runs_total',
      help: 'Failed runs that were answered after all, without the provider',
      type: 'counter',
      samples: perFault('repeatedRuns'),
    },
    {
      name: 'limpet_provider_replacements_total',
      help: 'Times that a provider was taken from a version while it served',
      type: 'counter',
      samples: perFault('replacements'),
    },
    {
      name: 'limpet_model_nodes',
      help: 'Nodes of a version that each of its providers runs, after basic optimisations; missing where not known',
      type: 'gauge',
      samples: perLane(({ session }) =>
        (session.placement ?? []).map(({ provider, nodes }) => ({ provider, value: nodes })),
      ),
    },
    {
      name: 'limpet_lane_provider_idle',
      help: 'Providers that took a version and run nothing of it, while one that was wanted less does',
      type: 'gauge',
      samples: perLane(({ session }) => idleProviders(session).map(one)),
    },
  ]
  return families.filter(({ samples }) => samples.length > 0)
}
