import { systemClock } from '../kit/clock.ts'
import { keepLog } from '../kit/log.ts'
import { LogRing } from '../kit/log-ring.ts'
import { logFolderOf } from './agent/folders.ts'

/** On a device that is enrolled, the last lines of each process are where the agent finds them. */
export function keepLogOf(name: 'up' | 'serve' | 'agent', state: string): void {
  keepLog(new LogRing({ folder: logFolderOf(state), name, clock: systemClock }))
}
