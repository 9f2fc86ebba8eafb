import { statfs } from 'node:fs/promises'
import type { Config } from '../../config/config.ts'
import { alertRules } from '../../health/alert-rules.ts'
import { RootFiles } from '../../health/files.ts'
import { GpuWatch } from '../../health/gpu-watch.ts'
import { NVML_LIBRARY } from '../../health/nvml.ts'
import { runCommand } from '../../health/run-command.ts'
import { Sampler } from '../../health/sampler.ts'
import type { Source } from '../../health/source.ts'
import { Cooling } from '../../health/sources/cooling.ts'
import { DiskSpace } from '../../health/sources/disk-space.ts'
import { DiskWear } from '../../health/sources/disk-wear.ts'
import { Gauges } from '../../health/sources/gauges.ts'
import { JetsonGpu } from '../../health/sources/jetson-gpu.ts'
import { Network } from '../../health/sources/network.ts'
import { Nvidia } from '../../health/sources/nvidia.ts'
import { PowerMode } from '../../health/sources/power-mode.ts'
import { PowerRails } from '../../health/sources/power-rails.ts'
import { Pressure } from '../../health/sources/pressure.ts'
import { ProcessorsAndMemory } from '../../health/sources/processors.ts'
import { Thermal } from '../../health/sources/thermal.ts'
import type { Clock } from '../../kit/clock.ts'
import { AlertBook } from './alert-book.ts'
import { CertificateAge } from './certificate.ts'
import type { Disk } from './disk.ts'
import type { DeviceFolders } from './folders.ts'
import { HealthMonitor } from './health-monitor.ts'
import type { OpenLink } from './open-link.ts'
import type { ServeClient } from './serve-client.ts'
import { ServedModels } from './served-models.ts'
import { TensorDrift } from './tensor-drift.ts'

const HOUR_MS = 3_600_000

export interface HealthSourceParts {
  readonly config: Config
  readonly folders: DeviceFolders
  readonly disk: Disk
  readonly line: OpenLink
  readonly serve: ServeClient
  readonly clock: Clock
  readonly stop: AbortSignal
  /** Until when the metadata is good; undefined: not known yet. */
  readonly expiresMs: () => number | undefined
  readonly onAlert: () => void
}

/** All that this device can say of itself, and the one who looks at it. */
export function openHealth(parts: HealthSourceParts): {
  readonly monitor: HealthMonitor
  readonly models: ServedModels
  readonly close: () => void
} {
  const { config, disk, line, serve, clock, stop } = parts
  const readMetrics = () => serve.readMetrics(stop)
  const models = new ServedModels({ clock, readMetrics })
  const gpus = new GpuWatch({ library: NVML_LIBRARY, clock })
  const sources = [
    ...boardSources(parts, gpus),
    models,
    new TensorDrift({ readMetrics }),
    ...ownSources(parts),
  ]
  const monitor = new HealthMonitor({
    clock,
    sampler: new Sampler({ sources, clock }),
    rules: alertRules(config.health.alerts),
    book: new AlertBook({ database: disk.database, report: (event) => line.link.report(event) }),
    telemetry: line.telemetry,
    sampleSeconds: config.health.sample_seconds,
    pointsSeconds: config.health.points_seconds,
    onAlert: parts.onAlert,
  })
  return { monitor, models, close: () => gpus.stop() }
}

function boardSources({ config, folders, clock }: HealthSourceParts, gpus: GpuWatch): Source[] {
  const files = new RootFiles(config.health.root)
  const common = { files, clock, run: runCommand }
  return [
    new ProcessorsAndMemory(common),
    new Pressure(files),
    new Thermal(files),
    new Cooling(files),
    new PowerRails(files),
    new PowerMode(common),
    new JetsonGpu(files),
    new Nvidia({ sample: () => gpus.sample() }),
    new DiskSpace({ disks: { state: folders.state }, statfs: (path) => statfs(path) }),
    new DiskWear(common),
    new Network(common),
  ]
}

function ownSources({ config, line, clock, expiresMs }: HealthSourceParts): Source[] {
  return [
    new CertificateAge({ path: config.registry.certificate_file, clock }),
    new Gauges({
      name: 'agent',
      ask: () => {
        const expires = expiresMs()
        const offsetMs = line.link.clockOffsetMs
        const { bytes, dropped } = line.telemetry.waiting
        return {
          metadata_hours: expires === undefined ? undefined : (expires - clock.now()) / HOUR_MS,
          clock_offset_seconds: offsetMs === undefined ? undefined : Math.abs(offsetMs) / 1000,
          link_up: line.link.isUp ? 1 : 0,
          outbox_bytes: bytes,
          outbox_dropped_total: dropped,
          agent_resident_bytes: process.memoryUsage.rss(),
        }
      },
    }),
  ]
}
