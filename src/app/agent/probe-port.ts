import type { Config } from '../../config/config.ts'
import type { Clock } from '../../kit/clock.ts'
import type { ProbePort } from '../../ota/ports.ts'
import { spawnProbe } from '../spawn-probe.ts'
import type { DeviceFolders } from './folders.ts'

/** `limpet probe`, as the update engine asks for it. */
export function createProbePort(parts: {
  config: Config
  options: { readonly config: string | undefined }
  folders: DeviceFolders
  clock: Clock
}): ProbePort {
  const { config, options, folders, clock } = parts
  return {
    run: async (request, signal) => {
      const report = await spawnProbe(
        {
          ...request,
          secondsMax: config.registry.probe_seconds_max,
          config: options.config,
          state: folders.state,
        },
        signal,
        clock,
      )
      if (report.code === '') return { isFit: true, typicalMs: report.latency?.p50_ms }
      return { isFit: false, code: report.code, reason: report.reason }
    },
  }
}
