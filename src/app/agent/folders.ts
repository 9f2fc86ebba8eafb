import { join } from 'node:path'
import type { Config } from '../../config/config.ts'

/** Where a device that is enrolled keeps what. */
export interface DeviceFolders {
  readonly state: string
  readonly database: string
  readonly trust: string
  readonly versions: string
  readonly work: string
  /** The repository that `serve` serves: a link for each model. */
  readonly models: string
  readonly serveSocket: string
  readonly agentSocket: string
  readonly inhibitFile: string
  /** What somebody has brought, for want of a line. */
  readonly siteBundle: string
  /** The last lines that the processes have logged. */
  readonly logs: string
}

export function logFolderOf(state: string): string {
  return join(state, 'logs')
}

export function deviceFolders(state: string, config: Config): DeviceFolders {
  return {
    state,
    database: join(state, 'agent.sqlite'),
    trust: join(state, 'trust'),
    versions: join(state, 'store/versions'),
    work: join(state, 'store/work'),
    models: join(state, 'models'),
    serveSocket: config.http.unix_socket ?? join(state, 'serve.sock'),
    agentSocket: join(state, 'agent.sock'),
    siteBundle: join(state, 'site.bundle'),
    logs: logFolderOf(state),
    inhibitFile: config.registry.inhibit_file ?? join(state, 'inhibit'),
  }
}
