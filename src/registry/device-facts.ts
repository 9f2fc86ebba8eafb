import { z } from 'zod'
import type { Database } from '../kit/database.ts'
import { FamiliesSeen } from './families-seen.ts'

/**
 * What rollouts and selectors ask of ten thousand devices every second stands in columns; a report is read once, when it
 * comes. What of it is not as it should be counts as not said.
 */
const Version = z.object({ version: z.string(), release: z.int(), sha256: z.string() })
const Update = z.object({
  rev: z.int(),
  version: z.string(),
  state: z.string(),
  code: z.string().catch(''),
  reason: z.string().catch(''),
})
const Model = z.object({
  model: z.string(),
  running: Version.nullable().catch(null),
  update: Update.nullable().catch(null),
})
/** Far from where numbers lose their last digit. */
const Counter = z
  .int()
  .min(0)
  .max(2 ** 48)

const Report = z.object({
  rev: z.int().min(0).catch(0),
  hardware_class: z.string().min(1).max(64).optional().catch(undefined),
  hardware: z.object({ names: z.array(z.string().max(64)) }).catch({ names: [] }),
  metadata_seen: z
    .object({
      timestamp: Counter,
      snapshot: Counter,
      families: z.record(z.string().max(64), Counter).catch({}),
    })
    .catch({ timestamp: 0, snapshot: 0, families: {} }),
  models: z.array(Model).max(1_000).catch([]),
})
type Report = z.infer<typeof Report>

const REASON_CHARACTERS_MAX = 500

/** Takes what a report says apart, within the caller's transaction. */
export function keepFacts(database: Database, device: string, body: unknown): void {
  const parsed = Report.safeParse(body)
  if (!parsed.success) return
  const report = parsed.data
  const isChanged = keepModels(database, device, report.models)
  new FamiliesSeen({ database }).keep(device, report.metadata_seen.families)
  database
    .prepare(
      `UPDATE device SET rev = @rev, timestamp_version = @timestamp, snapshot_version = @snapshot,
         is_changed = iif(hardware_class <> coalesce(@hardware, hardware_class), 1, max(is_changed, @isChanged)),
         hardware_class = coalesce(@hardware, hardware_class)
       WHERE id = @device`,
    )
    .run({
      device,
      rev: report.rev,
      timestamp: report.metadata_seen.timestamp,
      snapshot: report.metadata_seen.snapshot,
      hardware: classOf(report) ?? null,
      isChanged: isChanged ? 1 : 0,
    })
}

/** The profile comes last among its names, and says the most. */
export function classOf({
  hardware_class,
  hardware,
}: Pick<Report, 'hardware_class' | 'hardware'>): string | undefined {
  return hardware_class ?? hardware.names.at(-1)
}

interface Kept {
  readonly model: string
  readonly running_version: string | null
}

/** True where something else runs than before. */
function keepModels(database: Database, device: string, models: Report['models']): boolean {
  const before = database
    .prepare<[string], Kept>('SELECT model, running_version FROM device_model WHERE device = ?')
    .all(device)
  const put = database.prepare(
    `INSERT OR REPLACE INTO device_model (device, model, running, running_version, running_release,
       update_rev, update_version, update_state, update_code, update_reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  for (const { model, running, update } of models) {
    put.run(
      device,
      model,
      ...[running?.sha256 ?? null, running?.version ?? null, running?.release ?? null],
      ...[update?.rev ?? null, update?.version ?? null, update?.state ?? null, update?.code ?? null],
      update?.reason.slice(0, REASON_CHARACTERS_MAX) ?? null,
    )
  }
  const now = new Map(models.map(({ model, running }) => [model, running?.version ?? null]))
  const remove = database.prepare('DELETE FROM device_model WHERE device = ? AND model = ?')
  for (const { model } of before) if (!now.has(model)) remove.run(device, model)
  const then = new Map(before.map(({ model, running_version }) => [model, running_version]))
  return now.size !== then.size || [...now].some(([model, version]) => then.get(model) !== version)
}
