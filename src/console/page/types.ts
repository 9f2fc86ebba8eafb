/** What the registry answers, as far as the pages read it. */
interface Version {
  readonly version: string
  readonly release: number
  readonly sha256: string
}

export interface ModelOnDevice {
  readonly model: string
  readonly running: Version | null
  readonly previous: Version | null
  readonly assigned: Version | null
  readonly update: {
    readonly version: string
    readonly state: string
    readonly percent: number | null
    readonly waits_for: string
    readonly since: string
    readonly code: string
    readonly reason: string
  } | null
  readonly last_inference?: string | null
}

export interface Device {
  readonly id: string
  readonly online: boolean
  readonly liveness?: string
  readonly hardware: { readonly names?: readonly string[] } | null
  readonly hardware_class?: string
  readonly tags?: Readonly<Record<string, string>>
  readonly enrolled: string
  readonly seen: string | null
  readonly clock_offset_ms?: number | null
  readonly state: {
    readonly limpet?: string
    readonly rev?: number
    readonly models?: readonly ModelOnDevice[]
    readonly hardware?: { readonly names: readonly string[]; readonly providers: readonly string[] }
    readonly quarantine?: readonly {
      readonly model: string
      readonly version: string
      readonly code: string
      readonly reason: string
    }[]
  } | null
}

export interface DevicePage {
  readonly devices: readonly Device[]
  readonly total?: number
  readonly next?: string | null
}

export interface DeviceEvent {
  readonly number: number
  readonly received: string
  readonly body: Readonly<Record<string, unknown>>
}

export interface Model {
  readonly model: string
  readonly floor: number
  readonly versions: readonly {
    readonly version: string
    readonly release: number
    readonly manifest: string
  }[]
}

export interface Assignment {
  readonly target: string
  readonly models: readonly { readonly model: string; readonly version: string }[]
}

export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly role: string
  readonly created: number
  readonly revoked: number | null
}

export interface AuditEntry {
  readonly number: number
  readonly time: string
  readonly key: { readonly id: string; readonly name: string; readonly role: string }
  readonly method: string
  readonly path: string
  readonly subject: string
  readonly detail: unknown
  readonly address: string
  readonly outcome: string
}
