/** What the process that runs the show and those that run devices say to each other. */

export interface Start {
  readonly kind: 'start'
  readonly devices: readonly { readonly id: string; readonly secret: string; readonly hardware: string }[]
  readonly mqttUrl: string
  readonly httpUrl: string
  readonly root: unknown
  readonly heartbeatSeconds: number
  /** Of this process alone. */
  readonly folder: string
  /** Devices begin over so long. */
  readonly spreadMs: number
  /** Versions that fail on seven in eight devices, in the probe or on trial. */
  readonly badVersions: readonly string[]
}

export type Order = Start | { readonly kind: 'look' | 'tell' | 'stop' }

/** How the devices of one process are. */
export interface Looked {
  readonly kind: 'looked'
  readonly devices: number
  readonly up: number
  readonly heartbeats: number
  readonly busy: number
  readonly verified: number
  /** Devices with an event that the registry has not said it has. */
  readonly untold: number
  /** Devices by "model@version" that they run. */
  readonly running: Readonly<Record<string, number>>
  readonly residentBytes: number
  readonly cpuSeconds: number
}

/** What each device has told, and has served, in order; and what it has measured. */
export interface Told {
  readonly kind: 'told'
  readonly devices: Readonly<
    Record<
      string,
      {
        readonly told: readonly string[]
        readonly served: readonly string[]
        /** Of one series. */
        readonly points: number
        /** Whether the registry has not said yet that it has them all. */
        readonly arePointsWaiting: boolean
      }
    >
  >
}

export type Reply =
  | Looked
  | Told
  | { readonly kind: 'started' }
  | { readonly kind: 'broken'; readonly reason: string }
