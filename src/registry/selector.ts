import { EdgeError } from '../kit/errors.ts'
import { splitModel } from '../trust/names.ts'

/**
 * Which devices are meant, in words that a person can type:
 *
 *   all
 *   id=cam-01|cam-02
 *   tag.site=berlin|paris and hardware=jetson-* and running.vision/yolo=3.1.0 and id!=cam-07
 *
 * A value may hold `*` for anything; `running.vision/yolo!=*` is "does not run it at all".
 */
export interface Selector {
  readonly text: string
  /** All of them hold; none: every device. */
  readonly terms: readonly Term[]
}

interface Term {
  readonly of: 'id' | 'hardware' | 'tag' | 'running'
  /** Of the tag or the model; empty for the others. */
  readonly name: string
  readonly isNot: boolean
  readonly values: readonly RegExp[]
}

/** What a selector may ask of a device. */
export interface Selectable {
  readonly id: string
  readonly hardware: string
  readonly tags: Readonly<Record<string, string>>
  /** Version by model. */
  readonly running: Readonly<Record<string, string>>
}

export const SELECTOR_CHARACTERS_MAX = 2_000
export const TAG_NAME = /^[a-z][a-z0-9_.-]{0,62}$/
const VALUE = /^[A-Za-z0-9_.:*-]{1,128}$/
const EXPECTED =
  'expected "all" or terms like tag.site=berlin, hardware=x64, running.vision/yolo=3.1.0, id=cam-01|cam-02, joined by "and"'

export function parseSelector(text: string): Selector {
  const trimmed = text.trim()
  if (trimmed === '') throw refuse(text, 'it is empty')
  if (text.length > SELECTOR_CHARACTERS_MAX)
    throw refuse(`${text.slice(0, 40)}…`, `${text.length} characters, at most ${SELECTOR_CHARACTERS_MAX}`)
  if (trimmed === 'all') return { text: trimmed, terms: [] }
  const terms = trimmed.split(/\s+and\s+/).map((term) => parseTerm(text, term))
  return { text: trimmed, terms }
}

function parseTerm(text: string, term: string): Term {
  const [, key, operator, values] = /^([^\s=!]+)\s*(!?=)\s*(.*)$/.exec(term) ?? []
  if (key === undefined || operator === undefined || values === undefined)
    throw refuse(text, `"${term}" is no term of the form KEY=VALUE or KEY!=VALUE`)
  return { ...parseKey(text, key), isNot: operator === '!=', values: parseValues(text, { key, values }) }
}

function parseKey(text: string, key: string): Pick<Term, 'of' | 'name'> {
  if (key === 'id' || key === 'hardware') return { of: key, name: '' }
  const [kind, name] = [key.slice(0, key.indexOf('.')), key.slice(key.indexOf('.') + 1)]
  if (kind === 'tag') {
    if (TAG_NAME.test(name)) return { of: kind, name }
    throw refuse(text, `"${name}" is no tag's name, which matches ${TAG_NAME.source}`)
  }
  if (kind === 'running') {
    if (splitModel(name) !== undefined) return { of: kind, name }
    throw refuse(text, `"${name}" is no model, which reads family/name`)
  }
  throw refuse(text, `"${key}" is none of id, hardware, tag.NAME, running.FAMILY/NAME`)
}

function parseValues(text: string, { key, values }: { key: string; values: string }): RegExp[] {
  return values.split('|').map((padded) => {
    const value = padded.trim()
    if (!VALUE.test(value))
      throw refuse(text, `"${value}" is no value for "${key}", which matches ${VALUE.source}`)
    const parts = value.split('*').map((part) => part.replaceAll(/[.]/g, '\\.'))
    return new RegExp(`^${parts.join('.*')}$`)
  })
}

function refuse(text: string, why: string): EdgeError {
  return new EdgeError('input_invalid', `Cannot use the selector "${text}": ${why}; ${EXPECTED}`)
}

export function isSelected({ terms }: Selector, device: Selectable): boolean {
  return terms.every(({ of, name, isNot, values }) => {
    const value = askedOf(device, { of, name })
    const isOne = value !== undefined && values.some((pattern) => pattern.test(value))
    return isOne !== isNot
  })
}

function askedOf(device: Selectable, { of, name }: Pick<Term, 'of' | 'name'>): string | undefined {
  if (of === 'id') return device.id
  if (of === 'hardware') return device.hardware
  const among = of === 'tag' ? device.tags : device.running
  return Object.hasOwn(among, name) ? among[name] : undefined
}
