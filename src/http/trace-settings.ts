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
  trace_rate: /^[1-9]\d{0,8}$/,
  trace_count: /^(-1|\d{1,9})$/,
  log_frequency: /^\d{1,9}$/,
}

/** What is traced, as clients of the trace extension set it: a model's settings count before the server's. */
export class TraceSettings {
  readonly #defaults: Settings
  #server: Settings = {}
  readonly #models = new Map<string, Settings>()
  #isOn = false

  constructor(file: string) {
    this.#defaults = { ...DEFAULTS, trace_file: file }
  }

  /** Whether anything at all is traced. */
  get isOn(): boolean {
    return this.#isOn
  }

  hasOwn(model: string | undefined): boolean {
    return model !== undefined && this.#models.has(model)
  }

  /** Of the server where no model is named. */
  describe(model?: string): Json {
    return this.#effective(model)
  }

  /** The same as numbers. `rate`: each so many-th request; `count`: below 0 there is no bound. */
  sampling(model?: string): { isOn: boolean; rate: number; count: number; frequency: number } {
    const settings = this.#effective(model)
    const isOn = settings['trace_level']?.includes('TIMESTAMPS') ?? false
    const number = (name: string) => Number(settings[name])
    return {
      isOn,
      rate: number('trace_rate'),
      count: number('trace_count'),
      frequency: number('log_frequency'),
    }
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
    else if (Object.keys(settings).length === 0) this.#models.delete(model)
    else this.#models.set(model, settings)
    this.#isOn = [undefined, ...this.#models.keys()].some((scope) => this.sampling(scope).isOn)
  }

  #effective(model: string | undefined): Settings {
    return { ...this.#defaults, ...this.#server, ...this.#own(model) }
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
  const others = levels.filter((level) => level !== 'OFF' && level !== 'TIMESTAMPS')
  if (others.length === 0) return levels.includes('TIMESTAMPS') ? ['TIMESTAMPS'] : ['OFF']
  throw new EdgeError(
    'unsupported',
    `Cannot trace requests: trace_level is ${show(levels)}, expected "OFF" or "TIMESTAMPS": tensors are not written down`,
  )
}

function refuseName(name: string): EdgeError {
  const known = Object.keys(DEFAULTS).join(', ')
  return invalid(`Cannot change tracing: there is no setting "${name}", expected some of ${known}`)
}
