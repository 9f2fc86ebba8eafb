/** What reads text, in this process: each refuses in words or reads, and the two readers of JSON agree. */
import { parseModelSettings } from '../../src/config/model-settings.ts'
import { decodeInferRequest } from '../../src/http/infer-request.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { parseExactJson } from '../../src/kit/exact-json.ts'
import { Random } from '../kit/random.ts'
import { inferCase, mutateBytes, oddParametersCase } from './infer-cases.ts'
import { mutateTree, Raw, type Tree, writeTree } from './json-tree.ts'
import { configTree } from './route-cases.ts'

export interface ParserCase {
  readonly text: string
  /** What is wrong, or undefined. */
  readonly run: () => string | undefined
}

type Make = (random: Random) => ParserCase

export const PARSERS: Readonly<Record<string, Make>> = {
  'config.pbtxt': (random) =>
    settingsCase('m/config.pbtxt', changeText(random, writePbtxt(configTree(random)))),
  'config.json': (random) => {
    const tree = configTree(random)
    const text = writeTree(random.chance(0.7) ? mutateTree(random, tree) : tree)
    return settingsCase('m/config.json', changeText(random, text))
  },
  'config.toml': (random) => settingsCase('m/config.toml', changeText(random, random.pick(TOMLS))),
  'exact JSON': (random) => jsonCase(random),
  'infer request': (random) => requestCase(random),
}

/** The same seed and number make the same case. */
export function parserCase(parser: string, seed: number, index: number): ParserCase {
  const make = PARSERS[parser]
  if (make === undefined) throw new Error(`There is no parser "${parser}"`)
  return make(new Random(seed, index))
}

function settingsCase(path: string, text: string): ParserCase {
  return { text, run: () => faultOf(() => parseModelSettings({ path, text })) }
}

/** Refusing is what they are there for; anything else that is thrown is a bug. */
function faultOf(read: () => unknown): string | undefined {
  try {
    read()
    return undefined
  } catch (error) {
    if (!(error instanceof EdgeError)) return `threw ${error instanceof Error ? error.stack : String(error)}`
    return error.message === '' ? 'refused without words' : undefined
  }
}

function requestCase(random: Random): ParserCase {
  const { json, binary, headerLength } = random.chance(0.7) ? inferCase(random) : oddParametersCase(random)
  const bytes = Buffer.concat([json, binary])
  const body = new Uint8Array(bytes).buffer
  const said = headerLength === 'true' ? String(json.length) : (headerLength ?? null)
  return { text: bytes.toString('latin1'), run: () => faultOf(() => decodeInferRequest(body, said)) }
}

function jsonCase(random: Random): ParserCase {
  let tree: Tree = {
    list: [1, 2.5, -3e-7, 'é"\\', true, null],
    more: { deep: [[{ x: random.next() * 2 ** 60 }]] },
  }
  for (let times = random.between(1, 4); times > 0; times -= 1) tree = mutateTree(random, tree)
  const text = changeText(random, writeTree(tree))
  return { text, run: () => compareReaders(text) }
}

function compareReaders(text: string): string | undefined {
  const quick = attempt(() => JSON.parse(text) as unknown)
  const exact = attempt(() => parseExactJson(text, { keepsIntegers: true }))
  if ('thrown' in exact && !(exact.thrown instanceof EdgeError)) return `threw ${String(exact.thrown)}`
  if ('thrown' in quick) {
    const isNews = 'value' in exact && !/NaN|Infinity/.test(text)
    return isNews ? 'takes what JSON.parse refuses' : undefined
  }
  if ('thrown' in exact)
    return /nesting depth/.test(String(exact.thrown)) ? undefined : `refuses: ${exact.thrown}`
  return isAlike(quick.value, exact.value) ? undefined : 'reads something else than JSON.parse'
}

function attempt<T>(read: () => T): { value: T } | { thrown: unknown } {
  try {
    return { value: read() }
  } catch (thrown) {
    return { thrown }
  }
}

/** Apart from the digits that only one of them keeps. */
function isAlike(quick: unknown, exact: unknown): boolean {
  if (typeof exact === 'bigint') return Number(exact) === quick
  if (typeof quick !== 'object' || quick === null) return Object.is(quick, exact)
  if (typeof exact !== 'object' || exact === null || Array.isArray(quick) !== Array.isArray(exact))
    return false
  const [left, right] = [Object.entries(quick), Object.entries(exact)]
  return (
    left.length === right.length &&
    left.every(([key, value], at) => key === right[at]?.[0] && isAlike(value, right[at]?.[1]))
  )
}

/** Quick to write, and as a person would: what is in a message is in braces, a list is its elements. */
function writePbtxt(tree: Record<string, Tree>): string {
  return Object.entries(tree)
    .map(([name, value]) => writeField(name, value))
    .join('\n')
}

function writeField(name: string, value: Tree): string {
  if (name === 'parameters' && isObject(value)) {
    return Object.entries(value)
      .map(([key, of]) => `parameters { key: "${key}" value { ${writePbtxt(of as Record<string, Tree>)} } }`)
      .join('\n')
  }
  if (Array.isArray(value) && value.some(isObject)) return value.map((of) => writeField(name, of)).join('\n')
  if (Array.isArray(value)) return `${name}: [ ${value.map(writeScalar).join(', ')} ]`
  return isObject(value) ? `${name} {\n${writePbtxt(value)}\n}` : `${name}: ${writeScalar(value)}`
}

function writeScalar(value: Tree): string {
  if (value instanceof Raw) return value.text
  if (typeof value === 'string') return /^(TYPE|KIND)_/.test(value) ? value : JSON.stringify(value)
  return String(value)
}

function isObject(value: Tree): value is Record<string, Tree> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Raw)
}

const TOMLS = [
  'version_policy = "all"\nmax_batch_size = 8\ninstances = 2\n[batching]\npreferred_batch_sizes = [4, 8]\n' +
    'queue_delay_us_max = 2000\ndefault_queue_policy = { timeout_us = 500000, items_max = 64 }\n',
  'max_batch_size = 4\n[sequences]\nidle_us_max = 1000\ncandidates_max = 4\npreferred_batch_sizes = [2]\n' +
    'controls = [{ name = "S", kind = "start", datatype = "FP32", false_true = [0, 1.5] }]\n' +
    '[[sequences.states]]\ninput = "a"\noutput = "b"\ndims = [2, -1]\ninitial = { dims = [2, 3], file = "f" }\n',
  '[session]\nproviders = ["tensorrt", "cuda", "cpu"]\nintra_op_threads = 1\ngraph_optimization = "all"\n' +
    '[session.config_entries]\n"session.x" = "1"\n',
  '[[inputs]]\nname = "x"\ndatatype = "FP32"\ndims = [3, -1]\n[[outputs]]\nname = "y"\ndatatype = "INT64"\ndims = []\n' +
    'label_file = "labels.txt"\n[metadata]\nauthor = """Zo\\u00eb"""\nwhen = \'1979-05-27\'\n',
]

const PIECES = [
  '{',
  '}',
  '[',
  ']',
  '"',
  "'",
  '\\',
  ':',
  ',',
  ';',
  '#',
  '\n',
  '\r',
  '\0',
  '<',
  '>',
  '-',
  '.',
  '=',
  '0x',
  '1e999',
  '\\u',
  '\\777',
  'é',
  '"""',
]

/** Up to three pieces put in, taken out or doubled. */
function changeText(random: Random, text: string): string {
  let changed = text
  for (let times = random.below(4); times > 0; times -= 1) {
    const at = random.below(changed.length + 1)
    const [before, after] = [changed.slice(0, at), changed.slice(at)]
    const how = random.below(6)
    if (how === 0) changed = `${before}${random.pick(PIECES)}${after}`
    else if (how === 1) changed = `${before}${random.pick(PIECES)}${after.slice(1)}`
    else if (how === 2) changed = before
    else if (how === 3) changed = `${before}${after.slice(random.between(1, 12))}`
    else if (how === 4)
      changed = `${before}${random.pick(PIECES).repeat(random.pick([2, 100, 20_000]))}${after}`
    else changed = Buffer.from(mutateBytes(random, Buffer.from(changed), 1)).toString()
  }
  return changed
}
