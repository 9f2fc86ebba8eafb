import { type LogKind, logKinds, setLogKinds } from '../kit/log.ts'
import { invalid, type Json, show } from './fields.ts'

/** Triton's switches and what each of them writes here. */
const SWITCHES: ReadonlyMap<string, LogKind> = new Map([
  ['log_info', 'info'],
  ['log_warning', 'warn'],
  ['log_error', 'error'],
])

/** Lines are JSON on standard error with their time as ISO 8601, always. */
const FORMAT = 'ISO8601'

/** The logging extension: changes what this process writes, until it ends. */
export class LogSettings {
  /** Triton knows many degrees of it; here any above 0 writes everything. Kept for whoever asks. */
  #verboseLevel = logKinds().has('debug') ? 1 : 0

  describe(): Json {
    const switches = [...SWITCHES].map(([name, kind]) => [name, logKinds().has(kind)])
    return {
      log_file: '',
      ...Object.fromEntries(switches),
      log_verbose_level: this.#verboseLevel,
      log_format: FORMAT,
    }
  }

  /** All of it or, when something is wrong, nothing. */
  update(changes: Json): void {
    const kinds = new Set(logKinds())
    let verboseLevel = this.#verboseLevel
    for (const [name, value] of Object.entries(changes)) {
      const kind = SWITCHES.get(name)
      if (kind !== undefined) setMember(kinds, kind, asSwitch(name, value))
      else if (name === 'log_verbose_level') verboseLevel = asVerboseLevel(value)
      else refuseUnlessSame(name, value)
    }
    setMember(kinds, 'debug', verboseLevel > 0)
    this.#verboseLevel = verboseLevel
    setLogKinds(kinds)
  }
}

function setMember(kinds: Set<LogKind>, kind: LogKind, isIn: boolean): void {
  if (isIn) kinds.add(kind)
  else kinds.delete(kind)
}

function asSwitch(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw refuse(name, value, 'expected true or false')
}

function asVerboseLevel(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw refuse('log_verbose_level', value, 'expected an integer of 0 or more')
}

/** What cannot be changed may still be sent back as it is. */
function refuseUnlessSame(name: string, value: unknown): void {
  if (name === 'log_format' && value === FORMAT) return
  if (name === 'log_format') throw refuse(name, value, `lines are JSON, expected "${FORMAT}"`)
  if (name === 'log_file' && value === '') return
  if (name === 'log_file') throw refuse(name, value, 'the log goes to standard error, direct that to a file')
  const known = [...SWITCHES.keys(), 'log_verbose_level', 'log_format', 'log_file'].join(', ')
  throw invalid(`Cannot change logging: there is no setting "${name}", expected some of ${known}`)
}

function refuse(name: string, value: unknown, right: string) {
  return invalid(`Cannot change logging: ${name} is ${show(value)}, ${right}`)
}
