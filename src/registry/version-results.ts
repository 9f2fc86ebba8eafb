import type { Database } from '../kit/database.ts'

export interface VersionResult {
  readonly hardware_class: string
  /** Devices that run it: a device checks its golden samples before it switches. */
  readonly proven: number
  /** Devices whose last update to it came to nothing, by the reason's code. */
  readonly failed: readonly { readonly code: string; readonly devices: number }[]
}

const CLASSES_MAX = 100

/** How a version does, by class of hardware, from what devices have reported last. */
export function versionResults(
  database: Database,
  { model, version, manifest }: { model: string; version: string; manifest: string },
): VersionResult[] {
  const rows = database
    .prepare<[object], { hardware_class: string; is_running: number; code: string; devices: number }>(
      `SELECT device.hardware_class, device_model.running IS @manifest AS is_running,
         iif(device_model.running IS @manifest, '', coalesce(device_model.update_code, '')) AS code, count(*) AS devices
       FROM device_model JOIN device ON device.id = device_model.device
       WHERE device_model.model = @model AND (device_model.running IS @manifest
         OR (device_model.update_version = @version AND device_model.update_state IN ('rejected', 'failed', 'reverted', 'stuck')))
       GROUP BY 1, 2, 3 ORDER BY 1, 2 DESC, 4 DESC LIMIT @most`,
    )
    .all({ model, version, manifest, most: CLASSES_MAX })
  return [...Map.groupBy(rows, (row) => row.hardware_class)].map(([hardware_class, of]) => ({
    hardware_class,
    proven: of.find((row) => row.is_running === 1)?.devices ?? 0,
    failed: of.filter((row) => row.is_running === 0).map(({ code, devices }) => ({ code, devices })),
  }))
}
