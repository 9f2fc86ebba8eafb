import { z } from 'zod'
import type { AlertState } from '../../health/alerts.ts'
import type { BoardFacts } from '../../health/board.ts'
import { isWorking } from '../../ota/machine.ts'
import type { StorePort } from '../../ota/ports.ts'
import type { Update } from '../../ota/update.ts'
import type { Progress } from '../../ota/updates.ts'
import type { HighWater } from '../../trust/high-water.ts'
import type { Hardware } from '../../trust/manifest.ts'
import type { TrustView } from '../../trust/view.ts'
import { BUILD } from '../build-info.ts'
import type { Disk } from './disk.ts'
import type { Enrolment } from './enrolment.ts'

const Version = z.object({ version: z.string(), release: z.int(), sha256: z.string() })

const UpdateStatus = z.object({
  rev: z.int(),
  version: z.string(),
  state: z.string(),
  /** Null while it cannot be known. */
  percent: z.number().nullable(),
  waits_for: z.string(),
  since: z.string(),
  code: z.string(),
  reason: z.string(),
})

const ModelStatus = z.object({
  model: z.string(),
  /** What its pointer leads to; null: nothing serves. */
  running: Version.nullable(),
  previous: Version.nullable(),
  /** The last that has proven itself here. */
  good: Version.nullable(),
  assigned: Version.nullable(),
  update: UpdateStatus.nullable(),
  /** When it has answered last; null: not since this start, as far as is known. */
  last_inference: z.string().nullable(),
  /** Nodes of the running version's graph by provider; null where that is not known. */
  nodes: z.record(z.string(), z.int()).nullable(),
})

const Alert = z.object({
  name: z.string(),
  subject: z.string(),
  severity: z.string(),
  since: z.string(),
  value: z.number(),
  limit: z.number(),
  message: z.string(),
})

const Event = z.object({
  time: z.string(),
  rev: z.int(),
  model: z.string(),
  version: z.string(),
  from: z.string(),
  to: z.string(),
  code: z.string(),
  reason: z.string(),
})

/** What the device says of itself: to the registry, and to a person at it. */
export const Status = z.object({
  device: z.string(),
  registry: z.string(),
  limpet: z.string(),
  hardware: z.object({ names: z.array(z.string()), providers: z.array(z.string()) }),
  /** What most of all decides how a version does here. */
  hardware_class: z.string(),
  /** Null until the machine was asked. */
  board: z.record(z.string(), z.union([z.string(), z.number()])).nullable(),
  link: z.enum(['up', 'down']),
  /** Where its models can be asked; null: it does not say. */
  advertise_url: z.string().nullable(),
  rev: z.int(),
  /** Versions of the metadata; null before it was first refreshed. */
  trust: z
    .object({
      root: z.int(),
      timestamp: z.int(),
      snapshot: z.int(),
      expires: z.string(),
      time_source: z.string(),
    })
    .nullable(),
  /** The highest versions of metadata that were ever accepted: older ones are refused. */
  metadata_seen: z.object({
    timestamp: z.int(),
    snapshot: z.int(),
    families: z.record(z.string(), z.int()),
  }),
  models: z.array(ModelStatus),
  quarantine: z.array(
    z.object({
      model: z.string(),
      version: z.string(),
      sha256: z.string(),
      code: z.string(),
      reason: z.string(),
    }),
  ),
  alerts: z.array(Alert),
  /** Of what is measured: who did not answer, how often, and why not. */
  sources_skipped: z.array(z.object({ source: z.string(), skipped: z.int(), reason: z.string() })),
  events: z.array(Event),
})

export type Status = Readonly<z.infer<typeof Status>>
type ModelStatus = z.infer<typeof ModelStatus>

const EVENTS = 20

export async function readStatus(parts: {
  enrolment: Enrolment
  hardware: Hardware
  disk: Disk
  store: StorePort
  isLinkUp: boolean
  advertiseUrl: string | undefined
  view: TrustView | undefined
  highWater: HighWater
  progress: (model: string) => Progress | undefined
  board: BoardFacts | undefined
  alerts: readonly AlertState[]
  sourcesSkipped: Status['sources_skipped']
  lastInferenceMs: (model: string) => number | undefined
  nodes: (model: string, version: string) => Readonly<Record<string, number>> | undefined
}): Promise<Status> {
  const { enrolment, disk, view } = parts
  const { journal } = disk
  const { hardware } = parts
  return {
    device: enrolment.device,
    registry: enrolment.registry,
    limpet: BUILD.version,
    hardware: { names: [...hardware.names], providers: [...hardware.providers] },
    hardware_class: hardware.names.at(-1) ?? process.arch,
    board: parts.board === undefined ? null : { ...parts.board },
    link: parts.isLinkUp ? 'up' : 'down',
    advertise_url: parts.advertiseUrl ?? null,
    rev: journal.assignment?.rev ?? 0,
    trust:
      view === undefined
        ? null
        : { ...view.versions, expires: iso(view.expiresMs), time_source: view.time.source },
    metadata_seen: readSeen(parts.highWater),
    models: await readModels(parts),
    quarantine: journal.quarantined().map(({ model, version, manifest, code, reason }) => ({
      model,
      version,
      sha256: manifest,
      code,
      reason,
    })),
    alerts: parts.alerts.map(describeAlert),
    sources_skipped: [...parts.sourcesSkipped],
    events: journal
      .events()
      .slice(0, EVENTS)
      .map(({ time, rev, model, version, from, to, code, reason }) => {
        return { time: iso(time), rev, model, version, from, to, code, reason }
      }),
  }
}

function readSeen(highWater: HighWater): Status['metadata_seen'] {
  const of = (role: string) => highWater.versionOf(role) ?? 0
  const families = highWater.targetsRoles().filter((role) => role !== 'targets')
  return {
    timestamp: of('timestamp'),
    snapshot: of('snapshot'),
    families: Object.fromEntries(families.map((family) => [family, of(family)])),
  }
}

async function readModels(parts: Parameters<typeof readStatus>[0]): Promise<ModelStatus[]> {
  const { store } = parts
  const { journal } = parts.disk
  const assigned = new Map((journal.assignment?.models ?? []).map((each) => [each.model, each]))
  const updates = new Map(journal.latest().map((update) => [update.model, update]))
  const names = new Set([...(await store.models()), ...assigned.keys(), ...updates.keys()])
  return await Promise.all(
    [...names].sort().map(async (model): Promise<ModelStatus> => {
      const update = updates.get(model)
      const running = versionOf(await store.current(model))
      return {
        model,
        running,
        previous: versionOf((await store.earlier(model))[0]),
        good: versionOf(journal.good(model)),
        assigned: versionOf(assigned.get(model)),
        update: update === undefined ? null : describeUpdate(update, parts.progress(model)),
        last_inference: isoOrNull(parts.lastInferenceMs(model)),
        nodes: (running && parts.nodes(model, running.version)) ?? null,
      }
    }),
  )
}

function describeUpdate(update: Update, progress: Progress | undefined): z.infer<typeof UpdateStatus> {
  const { rev, version, state, code, reason } = update
  return {
    rev,
    version,
    state,
    percent: isWorking(state) ? (progress?.percent ?? null) : null,
    waits_for: isWorking(state) ? (progress?.waitsFor ?? '') : '',
    since: iso(update.sinceMs),
    code,
    reason,
  }
}

function describeAlert(alert: AlertState): z.infer<typeof Alert> {
  const { name, subject, severity = 'warning', since, value, limit, message } = alert
  return { name, subject, severity, since: iso(since), value, limit, message }
}

function isoOrNull(ms: number | undefined): string | null {
  return ms === undefined ? null : iso(ms)
}

function versionOf(
  of: { version: string; release: number; manifest: string } | undefined,
): z.infer<typeof Version> | null {
  return of === undefined ? null : { version: of.version, release: of.release, sha256: of.manifest }
}

function iso(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : 'unknown'
}
