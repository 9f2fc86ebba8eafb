import { EdgeError, messageOf } from '../kit/errors.ts'
import { parseExactJson } from '../kit/exact-json.ts'
import type { PbField, PbMessage, PbValue } from './pbtxt.ts'
import type { TextFile } from './pbtxt-tokens.ts'

const LENGTH_MAX = 1024 * 1024
const FIELDS_MAX = 10_000
const DEPTH_MAX = 64

/** Maps of Triton's `ModelConfig`: their keys are the user's, and an entry is a message of a key and a value. */
const MAPS = new Set([
  'parameters',
  'priority_queue_policy',
  'metric_tags',
  'cc_model_filenames',
  'inputs',
  'version_labels',
  'input_map',
  'output_map',
])

/** JSON has no lines here, and a field in it no place. */
const NOWHERE = { line: 0, column: 0 }

type JsonObject = Readonly<Record<string, unknown>>

/**
 * A `ModelConfig` in the JSON of Protocol Buffers, as the tree of its text format. Names are in snake_case or, as the
 * mapping of proto3 writes them, in camelCase.
 */
export function parseConfigJson(file: TextFile): PbMessage {
  const fail = (what: string): never => {
    throw new EdgeError('config_invalid', `Cannot read "${file.path}": ${what}`)
  }
  if (file.text.length > LENGTH_MAX) {
    fail(`it has ${file.text.length} characters, at most ${LENGTH_MAX}`)
  }
  const json = readJson(file.text, fail)
  if (!isObject(json)) return fail('it is no object, expected one like {"max_batch_size": 8}')
  let count = 0
  const onField = () => {
    count += 1
    if (count > FIELDS_MAX) fail(`it has more than ${FIELDS_MAX} fields`)
  }
  return toMessage(json, { path: '', depth: 0, fail, onField })
}

interface At {
  readonly path: string
  readonly depth: number
  readonly fail: (what: string) => never
  readonly onField: () => void
}

function readJson(text: string, fail: At['fail']): unknown {
  try {
    return parseExactJson(text)
  } catch (error) {
    return fail(messageOf(error))
  }
}

function toMessage(json: JsonObject, at: At): PbMessage {
  const depth = at.depth + 1
  if (depth > DEPTH_MAX) at.fail(`messages are more than ${DEPTH_MAX} deep`)
  const fields = Object.entries(json).flatMap(([key, value]) => {
    const name = toSnakeCase(key)
    const within = { ...at, depth, path: at.path === '' ? name : `${at.path}.${name}` }
    return valuesOf(name, value, within).map((of) => toField(name, of, within))
  })
  return { kind: 'message', fields }
}

function toField(name: string, value: PbValue, at: At): PbField {
  at.onField()
  return { name, value, ...NOWHERE }
}

/** A list is its elements, and nothing what is null or, as messages are often written out, an empty text. */
function valuesOf(name: string, json: unknown, at: At): PbValue[] {
  if (json === null || (json === '' && name !== 'string_value')) return []
  if (Array.isArray(json)) return json.map((element) => toValue(element, at))
  if (MAPS.has(name) && isObject(json)) return Object.entries(json).map((entry) => toEntry(entry, at))
  return [toValue(json, at)]
}

/** Keys that are numbers are texts in JSON. */
function toEntry([key, value]: [string, unknown], at: At): PbMessage {
  const values = [toField('key', { kind: 'quoted', value: key }, at)]
  return { kind: 'message', fields: [...values, toField('value', toValue(value, at), at)] }
}

function toValue(json: unknown, at: At): PbValue {
  if (typeof json === 'string') return { kind: 'quoted', value: json }
  if (typeof json === 'boolean') return { kind: 'word', value: String(json) }
  if (typeof json === 'bigint') return { kind: 'integer', value: json }
  if (typeof json === 'number') return toNumber(json)
  if (isObject(json)) return toMessage(json, at)
  return at.fail(`${at.path} holds ${json === null ? 'null' : 'a list'} in a list`)
}

function toNumber(value: number): PbValue {
  return Number.isInteger(value) ? { kind: 'integer', value: BigInt(value) } : { kind: 'float', value }
}

function toSnakeCase(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function isObject(json: unknown): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}
