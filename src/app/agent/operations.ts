import type { Config } from '../../config/config.ts'
import type { Clock } from '../../kit/clock.ts'
import { attach, INLINE_BYTES_MAX } from './attachment.ts'
import { captureOperation } from './capture-operation.ts'
import type { Operations } from './device-commands.ts'
import { collectDiagnostics } from './diagnostics.ts'
import type { Disk } from './disk.ts'
import type { Enrolment } from './enrolment.ts'
import type { DeviceFolders } from './folders.ts'
import { identify } from './identify.ts'
import { LOG_PROCESSES, readLogTail } from './log-tail.ts'
import type { OpenLink } from './open-link.ts'
import { restartServe } from './restart-serve.ts'
import type { ServeClient } from './serve-client.ts'
import type { Status } from './status.ts'

export interface OperationParts {
  readonly config: Config
  readonly options: { readonly config: string | undefined }
  readonly enrolment: Enrolment
  readonly folders: DeviceFolders
  readonly disk: Disk
  readonly line: OpenLink
  readonly serve: ServeClient
  readonly clock: Clock
  readonly status: () => Promise<Status>
  /** Tells the registry anew what the device is like. */
  readonly reportState: () => Promise<void>
}

/** What each command does, in the words of this device. */
export function createOperations(parts: OperationParts): Operations {
  const { config, folders, clock, line } = parts
  const secrets = [parts.enrolment.secret]
  const bring = line.link.upload.bind(line.link)
  return {
    identify: ({ seconds }, { signal }) => {
      const { identify_led: led, identify_command: command } = config.commands
      return identify({ led, command }, { seconds, clock, signal })
    },
    logs: ({ lines, process }) =>
      readLogTail(folders.logs, {
        processes: process === undefined ? LOG_PROCESSES : [process],
        lines,
        bytesMax: INLINE_BYTES_MAX,
        secrets,
      }),
    restart_serve: (_, { signal }) =>
      restartServe(
        {
          socket: folders.serveSocket,
          serve: parts.serve,
          journal: parts.disk.journal,
          clock,
          send: toSupervisor(),
        },
        signal,
      ),
    rebirth: async () => {
      await parts.reportState()
      return null
    },
    capture: (order, { rid, signal }) => {
      const to = { rid, bring, clock, signal }
      const attachTo = (bytes: Uint8Array<ArrayBuffer>, type: string) => attach({ bytes, type }, to)
      return captureOperation(order, { serve: parts.serve, state: folders.state, attach: attachTo }, signal)
    },
    diagnostics: async (_, { rid, signal }) => {
      const bytes = await collectDiagnostics(
        { ...parts, config: parts.options.config, state: folders.state, logs: folders.logs, secrets },
        signal,
      )
      return { attachment: await attach({ bytes, type: 'application/gzip' }, { rid, bring, clock, signal }) }
    },
  }
}

function toSupervisor(): ((message: object) => void) | undefined {
  return process.send === undefined ? undefined : (message) => void process.send?.(message)
}
