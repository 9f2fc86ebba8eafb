/** A rollout as the registry tells of it. */
export interface Wave {
  readonly percent?: number
  readonly count?: number
  readonly named?: number
  readonly soak_seconds: number
  readonly success_percent_min: number
  readonly devices?: number
  readonly acknowledged?: number
  readonly committed?: number
  readonly failed?: number
  readonly states?: Readonly<Record<string, number>>
}

export interface Rollout {
  readonly id: string
  readonly model: string
  readonly version: string
  readonly previous: string | null
  readonly selector: string
  readonly waves: readonly Wave[]
  readonly abort: {
    readonly failure_percent_max: number
    readonly failures_min: number
    readonly on_abort: string
  }
  readonly approval: string
  readonly state: string
  readonly wave: number
  readonly since: string
  readonly waits_for: string
  readonly created: string
}

export interface WholeRollout extends Rollout {
  readonly failures: readonly {
    readonly state: string
    readonly code: string
    readonly reason: string
    readonly count: number
    readonly devices: readonly string[]
  }[]
  readonly transitions: readonly {
    readonly number: number
    readonly at: string
    readonly from: string
    readonly to: string
    readonly wave: number
    readonly by: string
    readonly reason: string
  }[]
}

export type Action = 'approve' | 'start' | 'pause' | 'resume' | 'abort' | 'revert'

interface Deed {
  readonly label: string
  readonly tells: string
  readonly isDangerous?: boolean
}

export const DEEDS: Readonly<Record<Action, Deed>> = {
  approve: { label: 'Approve', tells: 'It may be started then. It is written down who has approved it.' },
  start: { label: 'Start', tells: 'The devices of the first wave are given the version.' },
  pause: { label: 'Pause', tells: 'No further device is given the version. Those that have it go on.' },
  resume: { label: 'Resume', tells: 'It goes on where it was paused.' },
  abort: {
    label: 'Abort',
    tells: 'No further device is given the version. Those that have committed it keep it.',
    isDangerous: true,
  },
  revert: {
    label: 'Revert',
    tells:
      'Every device that was given the version goes back to what it ran before, those that have committed it too.',
    isDangerous: true,
  },
}

const MAY: Readonly<Record<string, readonly Action[]>> = {
  draft: ['approve', 'start', 'abort'],
  approved: ['start', 'abort'],
  running: ['pause', 'abort', 'revert'],
  soak: ['pause', 'abort', 'revert'],
  paused: ['resume', 'abort', 'revert'],
  done: ['revert'],
  aborting: ['revert'],
  aborted: ['revert'],
}

/** What a person may ask of it now. Whether somebody else has to approve it first is for the registry to say. */
export function actionsOf({ state, approval }: Rollout): readonly Action[] {
  const all = MAY[state] ?? []
  return approval === 'none' ? all.filter((action) => action !== 'approve') : all
}

/** What a wave covers, in words. */
export function coverOf({ percent, count, named }: Wave): string {
  if (percent !== undefined) return percent === 100 ? 'all that are left' : `up to ${percent} %`
  if (count !== undefined) return `up to ${count}`
  return `${named ?? 0} by name`
}
