import type { State } from './machine.ts'

/** What the director has assigned to this device for one model; verified before it comes here. */
export interface Assigned {
  /** "family/name". */
  readonly model: string
  readonly version: string
  readonly release: number
  /** SHA-256 of the manifest, lower-case hex. */
  readonly manifest: string
  /** Of the assignment it stands in. */
  readonly rev: number
  /** Higher ones first; equal ones in the order of the assignment. */
  readonly priority: number
  readonly schedule: Schedule
  readonly policy: Policy
  readonly allowDowngrade: boolean
}

/** When the switch may happen. */
export interface Schedule {
  /** Wall time, milliseconds; 0 for at once. */
  readonly notBeforeMs: number
  /** A cron expression, in UTC, that says when a window opens; undefined for any time. */
  readonly window: string | undefined
  readonly windowSeconds: number
  /** So long the whole way may take up to the switch, waiting for the network included. */
  readonly deferSecondsMax: number
  /** A person at the device, or with access to it, has to say yes. */
  readonly needsApproval: boolean
}

/** What the new version has to show before it stays. */
export interface Policy {
  readonly observeSeconds: number
  readonly requestsMin: number
  /** Percent points more than with the version before. */
  readonly errorPercentMax: number
  /** Of the version before. */
  readonly p95PercentMax: number
  /** Ends of the serving process while the version is observed. */
  readonly crashesMax: number
  /** In the probe, where nothing else disturbs: of the version before. */
  readonly probePercentMax: number
  /** What becomes of a version that does not show it. */
  readonly onFailure: 'revert' | 'keep'
}

/** A version as it lies on the disk. */
export interface Installed {
  readonly version: string
  readonly release: number
  readonly manifest: string
}

/** The way of one model to one version, as the journal keeps it. */
export interface Update extends Assigned {
  readonly id: number
  readonly state: State
  /** States written so far, this one included. */
  readonly transitions: number
  /** Starts of the agent that found it on trial. */
  readonly boots: number
  /** Wall time, milliseconds. */
  readonly beganMs: number
  readonly sinceMs: number
  /** Why it is where it is, when that is not the usual way: a word for programs, and words for people. */
  readonly code: string
  readonly reason: string
  /** What served before, once that is known. */
  readonly previous: Installed | undefined
}

/** One change of state, as the registry is told of it. */
export interface UpdateEvent {
  readonly time: number
  readonly rev: number
  readonly model: string
  readonly version: string
  readonly manifest: string
  readonly from: State | 'assigned'
  /** Withdrawn: it serves no more, because it is not assigned any more. */
  readonly to: State | 'withdrawn'
  /** Which of its states this is, counted from 1. */
  readonly attempt: number
  readonly code: string
  readonly reason: string
}
