import type { Config } from '../config/config.ts'
import type { ModelControl } from '../http/repository.ts'
import { EdgeError } from '../kit/errors.ts'

/** Clients may load and unload only where nothing else does; the words are Triton's. */
export function allowControl(repository: ModelControl, mode: Config['models']['control']): ModelControl {
  if (mode === 'explicit') return repository
  const refuse = (what: string): never => {
    const why = mode === 'poll' ? 'polling is enabled' : 'models.control is "none"'
    throw new EdgeError('input_invalid', `explicit model ${what} is not allowed if ${why}`)
  }
  return {
    load: async () => refuse('load / unload'),
    unload: async () => refuse('load / unload'),
    label: async () => refuse('label'),
  }
}
