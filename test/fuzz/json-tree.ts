/** JSON as a tree that may hold what JSON cannot, changed at random. */
import type { Random } from '../kit/random.ts'

/** Text that stands in the JSON as it is. */
export class Raw {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

export type Tree = unknown

export function writeTree(tree: Tree): string {
  if (tree instanceof Raw) return tree.text
  if (Array.isArray(tree)) return `[${tree.map(writeTree).join(',')}]`
  if (typeof tree === 'bigint') return String(tree)
  if (typeof tree !== 'object' || tree === null) return JSON.stringify(tree) ?? 'null'
  const members = Object.entries(tree).filter(([, value]) => value !== undefined)
  return `{${members.map(([key, value]) => `${JSON.stringify(key)}:${writeTree(value)}`).join(',')}}`
}

/** What readers trip over: bounds of every integer type, what is no JSON, what is nearly too deep, names with a past. */
const ODD: readonly Tree[] = [
  0,
  -1,
  1,
  1.5,
  -0,
  255,
  256,
  65_536,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  -(2 ** 53) - 2,
  1e308,
  new Raw('9223372036854775807'),
  new Raw('-9223372036854775809'),
  new Raw('18446744073709551616'),
  new Raw('1e400'),
  new Raw('-1e400'),
  new Raw('1e-400'),
  new Raw('-0'),
  new Raw('-0.0'),
  new Raw('NaN'),
  new Raw('Infinity'),
  new Raw('-Infinity'),
  new Raw('-NaN'),
  new Raw('01'),
  new Raw('+1'),
  new Raw('.5'),
  new Raw('1.'),
  new Raw('0x10'),
  new Raw('undefined'),
  new Raw(''),
  new Raw('"\\ud800"'),
  new Raw('"\\u0000"'),
  new Raw('"\\x"'),
  new Raw('"'),
  new Raw('\u00e9'),
  new Raw(`${'['.repeat(99)}1${']'.repeat(99)}`),
  new Raw(`${'['.repeat(101)}1${']'.repeat(101)}`),
  new Raw('['.repeat(20_000)),
  new Raw('{"a":'.repeat(5_000)),
  new Raw('9'.repeat(5_000)),
  new Raw(`0.${'1'.repeat(5_000)}`),
  '',
  'a',
  'é\u{1f41a}',
  'x'.repeat(5_000),
  'FP32',
  'INT64',
  'BYTES',
  true,
  false,
  null,
  // As text: an object of this list would be changed where it stands, and the next case with it.
  new Raw('[]'),
  new Raw('{}'),
  new Raw('[[]]'),
  new Raw('[null]'),
]

const KEYS = ['name', 'datatype', 'shape', 'data', 'parameters', 'inputs', 'outputs', 'id', '__proto__', '']

type Container = Tree[] | Record<string, Tree>

/** Changes one place of the tree, somewhere. The tree is the caller's own. */
export function mutateTree(random: Random, tree: Tree): Tree {
  const containers = listContainers(tree)
  if (containers.length === 0 || random.chance(0.02)) return random.pick(ODD)
  const container = random.pick(containers)
  const keys = Object.keys(container)
  const key = keys.length === 0 ? '0' : random.pick(keys)
  const write = container as Record<string, Tree>
  const change = random.below(8)
  if (change <= 2) write[key] = random.pick(ODD)
  else if (change === 3) remove(container, key)
  else if (change === 4) write[Array.isArray(container) ? keys.length : random.pick(KEYS)] = random.pick(ODD)
  else if (change === 5) write[key] = [write[key]]
  else if (change === 6) write[key] = random.pick(containers) === tree ? {} : nudge(random, write[key])
  else swap(random, write, keys)
  return tree
}

function remove(container: Container, key: string): void {
  if (Array.isArray(container)) container.splice(Number(key), 1)
  else delete container[key]
}

function nudge(random: Random, value: Tree): Tree {
  if (typeof value === 'number') return value + random.pick([-1, 1, 0.5, 256, 2 ** 31])
  if (typeof value === 'string') return `${value}${random.pick(['', ' ', '\0', 'é', 'x'])}`
  return random.pick(ODD)
}

function swap(random: Random, write: Record<string, Tree>, keys: readonly string[]): void {
  if (keys.length < 2) return
  const [one, other] = [random.pick(keys), random.pick(keys)]
  const kept = write[one]
  write[one] = write[other]
  write[other] = kept
}

/** Of long arrays only the beginning: what is behind is like it. */
const CHILDREN_MAX = 24

function listContainers(tree: Tree): Container[] {
  if (typeof tree !== 'object' || tree === null || tree instanceof Raw) return []
  const children = Object.values(tree).slice(0, CHILDREN_MAX)
  return [tree as Container, ...children.flatMap(listContainers)]
}
