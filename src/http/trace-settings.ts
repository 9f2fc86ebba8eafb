import { EdgeError } from '../kit/errors.ts'
import { invalid, type Json, show } from './fields.ts'

type Value = string | readonly string[]
type Settings = Readonly<Record<string, Value>>

/** Triton's defaults, in its form: everything a string, the level an array of them. */
const DEFAULTS: Settings = {
  trace_level: ['OFF'],
  trace_rate: '1000',
  trace_count: '-1',
  log_frequency: '0',
  trace_file: '',
  trace_mode: 'triton',
}

/** What may be changed, and the form that its text has to have. */
const NUMBERS: Readonly<Record<string, RegExp>> = {
  trace_rate: /^\d{1,9}$/,
  trace_count: /^(-1|\d{1,9})$/,
  log_frequency: /^\d{1,9}$/,
}

/**
 * The trace extension. Settings are kept and answered, those of a model over those of the server; but no trace is
 * written, so a level that asks for one is refused.
 */
export class TraceSettings {
  #server: Settings = {}
  readonly #models = new Map<string, Settings>()

  /** Of the server where no model is named. */
  describe(model?: string): Json {
    return { ...DEFAULTS, ...this.#server, ...this.#own(model) }
  }

  /** All of it or, when something is wrong, nothing. Null takes a setting back to what it is without. */
  update(changes: Json, model?: string): void {
    const settings: Record<string, Value> = { ...this.#own(model) }
    for (const [name, value] of Object.entries(changes)) {
      if (!Object.hasOwn(DEFAULTS, name)) throw refuseName(name)
      if (value === null) delete settings[name]
      else settings[name] = asSetting(name, value)
    }
    if (model === undefined) this.#server = settings
    else this.#models.set(model, settings)
  }

  #own(model: string | undefined): Settings {
    return model === undefined ? this.#server : (this.#models.get(model) ?? {})
  }
}

function asSetting(name: string, value: unknown): Value {
  if (name === 'trace_level') return asLevel(value)
  const form = NUMBERS[name]
  if (form === undefined) {
    throw new EdgeError('unsupported', `Cannot change tracing: ${name} is not for clients to change`)
  }
  if (typeof value === 'string' && form.test(value)) return value
  throw invalid(
    `Cannot change tracing: ${name} is ${show(value)}, expected a string that matches ${form.source}`,
  )
}

function asLevel(value: unknown): readonly string[] {
  const levels = typeof value === 'string' ? [value] : value
  if (!Array.isArray(levels) || levels.some((level) => typeof level !== 'string')) {
    throw invalid(`Cannot change tracing: trace_level is ${show(value)}, expected an array of strings`)
  }
  const asked = levels.filter((level) => level !== 'OFF')
  if (asked.length === 0) return ['OFF']
  throw new EdgeError(
    'unsupported',
    `Cannot trace requests: trace_level is ${show(levels)}, only "OFF" is supported; statistics and metrics say how long requests take`,
  )
}

function refuseName(name: string): EdgeError {
  const known = Object.keys(DEFAULTS).join(', ')
  return invalid(`Cannot change tracing: there is no setting "${name}", expected some of ${known}`)
}
