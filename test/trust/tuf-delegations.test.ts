/** The cases of tuf-conformance about delegated roles: the order of the search, what is found, names that need quoting. */
import { describe, expect, test } from 'bun:test'
import { newKey, TufDevice, TufSimulator } from './tuf-simulator.ts'

type Edge = readonly [from: string, to: string, options?: { paths?: string[]; terminating?: boolean }]

const GRAPHS: readonly [name: string, edges: readonly Edge[], visited: readonly string[]][] = [
  ['one delegation', [['targets', 'A']], ['A']],
  [
    'one level',
    [
      ['targets', 'A'],
      ['targets', 'B'],
    ],
    ['A', 'B'],
  ],
  [
    'two levels',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['B', 'C'],
    ],
    ['A', 'B', 'C'],
  ],
  [
    'two levels, depth first',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['A', 'C'],
      ['A', 'D'],
    ],
    ['A', 'C', 'D', 'B'],
  ],
  [
    'three levels, depth first',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['A', 'C'],
      ['C', 'D'],
    ],
    ['A', 'C', 'D', 'B'],
  ],
  [
    'two levels, cut off',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['A', 'C', { terminating: true }],
      ['A', 'D'],
    ],
    ['A', 'C'],
  ],
  [
    'three levels, cut off',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['A', 'C', { terminating: true }],
      ['C', 'D'],
    ],
    ['A', 'C', 'D'],
  ],
  [
    'two levels, another path',
    [
      ['targets', 'A', { paths: ['*.py'] }],
      ['targets', 'B'],
      ['A', 'C'],
    ],
    ['B'],
  ],
  [
    'three levels, another path',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['A', 'C', { paths: ['*.py'] }],
      ['C', 'D'],
    ],
    ['A', 'B'],
  ],
  [
    'a circle',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['B', 'C'],
      ['C', 'D'],
      ['D', 'B'],
    ],
    ['A', 'B', 'C', 'D'],
  ],
  [
    'two lead to a third',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['B', 'C'],
      ['A', 'C'],
    ],
    ['A', 'C', 'B'],
  ],
  [
    'two lead to a third, one by another path',
    [
      ['targets', 'A'],
      ['targets', 'B'],
      ['B', 'C'],
      ['A', 'C', { paths: ['*.py'] }],
    ],
    ['A', 'B', 'C'],
  ],
]

function build(edges: readonly Edge[]): TufSimulator {
  const repository = new TufSimulator()
  for (const [from, name, { paths = ['*'], terminating = false } = {}] of edges) {
    repository.delegate(from, { name, keys: [newKey()], threshold: 1, terminating, paths })
  }
  repository.updateSnapshot()
  return repository
}

/** The delegated roles that were asked for. */
const visitedOf = (repository: TufSimulator) =>
  repository.requests.slice(4).map((name) => name.replace(/^1\.(.*)\.json$/, '$1'))

test.each(GRAPHS)('the search goes in order: %s', async (_name, edges, visited) => {
  const repository = build(edges)
  const device = new TufDevice(repository)
  expect(await device.download('missingpath')).toBe('unlisted')
  expect(visitedOf(repository)).toEqual([...visited])
})

const TREE: readonly Edge[] = [
  ['targets', 'A', { paths: ['*.doc', '*.md'] }],
  ['targets', 'B', { paths: ['releases/*/*'] }],
  ['B', 'C', { paths: ['releases/x/*'] }],
  ['B', 'D', { paths: ['releases/y/*.zip'] }],
]
const FILES: readonly [role: string, path: string][] = [
  ['targets', 'targetfile'],
  ['A', 'README.md'],
  ['C', 'releases/x/x_v1'],
  ['D', 'releases/y/y_v1.zip'],
  ['D', 'releases/z/z_v1.zip'],
]
const SEARCHES: readonly [path: string, outcome: string, visited: readonly string[]][] = [
  ['targetfile', 'ok', []],
  ['README.md', 'ok', ['A']],
  ['releases/x/x_v1', 'ok', ['B', 'C']],
  ['releases/y/y_v1.zip', 'ok', ['B', 'D']],
  // Listed by a role to which nobody delegates that path.
  ['releases/z/z_v1.zip', 'unlisted', ['B']],
]

test.each(SEARCHES)('%s is %s', async (path, outcome, visited) => {
  const repository = build(TREE)
  for (const [role, each] of FILES) repository.addTarget(role, each, Buffer.from(`${each} by ${role}`))
  const device = new TufDevice(repository)
  expect(await device.download(path)).toBe(outcome)
  expect(visitedOf(repository)).toEqual([...visited])
  expect([...device.downloads.keys()]).toEqual(outcome === 'ok' ? [path] : [])
})

test.each(['?', '#', '/delegatedrole', '../delegatedrole', '..', '%2e%2e'])(
  'a role of the name "%s" stays in its place',
  async (role) => {
    const repository = build([['targets', role]])
    const device = new TufDevice(repository)
    expect(await device.download('nonexistent target')).toBe('unlisted')
    expect(repository.requests).toContain(`1.${encodeURIComponent(role)}.json`)
    expect(Object.keys(device.trusted())).toHaveLength(5)
    expect([...device.files.files.keys()].filter((name) => name.includes('/'))).toEqual([])
  },
)

test.each(['__proto__', 'constructor', 'toString'])('a role of the name "%s" is refused', async (role) => {
  const repository = new TufSimulator()
  repository.delegate('targets', {
    name: role,
    keys: [newKey()],
    threshold: 1,
    terminating: false,
    paths: ['*'],
  })
  repository.updateSnapshot()
  const device = new TufDevice(repository)
  expect(await device.download('path')).toMatch(/^metadata_/)
})

test('a role that is reached by two ways is verified by each of them', async () => {
  const repository = new TufSimulator()
  const good = newKey()
  repository.delegate('targets', {
    name: 'A',
    keys: [newKey()],
    threshold: 1,
    terminating: false,
    paths: ['*'],
  })
  repository.delegate('A', { name: 'C', keys: [good], threshold: 1, terminating: false, paths: ['*.a'] })
  repository.delegate('targets', {
    name: 'C',
    keys: [newKey()],
    threshold: 1,
    terminating: false,
    paths: ['*.b'],
  })
  repository.role('C').signers = [good]
  repository.addTarget('C', 'x.a', Buffer.from('a'))
  repository.addTarget('C', 'x.b', Buffer.from('b'))
  repository.updateSnapshot()
  const device = new TufDevice(repository)
  expect(await device.download('x.a')).toBe('ok')
  expect(await device.download('x.b')).toBe('publisher_not_delegated')
})

describe('downloads', () => {
  test('a file, also in a folder', async () => {
    const repository = new TufSimulator()
    repository.addTarget('targets', 'file.txt', Buffer.from('one'))
    repository.addTarget('targets', 'path/to/a/file.txt', Buffer.from('two'))
    const device = new TufDevice(repository)
    expect(await device.download('file.txt')).toBe('ok')
    expect(await device.download('path/to/a/file.txt')).toBe('ok')
  })

  test('what the repository puts in the place of a file is not taken', async () => {
    const repository = new TufSimulator()
    repository.addTarget('targets', 'file.txt', Buffer.from('content'))
    const device = new TufDevice(repository)
    repository.role('targets').contents.set('file.txt', Buffer.from('malicious'))
    expect(await device.download('file.txt')).toBe('target_tampered')
    expect(device.downloads.size).toBe(0)
  })

  test('ten changes of a file, each tried with a false one after it', async () => {
    const repository = new TufSimulator()
    const device = new TufDevice(repository)
    for (let round = 0; round < 11; round += 1) {
      const content = Buffer.from(`content ${round}`)
      repository.addTarget('targets', 'file.txt', content)
      repository.role('targets').version += 1
      repository.updateSnapshot()
      if (round % 5 !== 0) continue
      expect(await device.download('file.txt')).toBe('ok')
      expect(device.downloads.get('file.txt')).toEqual(content)
      repository.role('targets').contents.set('file.txt', Buffer.from(`malicious ${round}`))
      expect(await device.download('file.txt')).toBe('target_tampered')
      expect(device.downloads.get('file.txt')).toEqual(content)
    }
  })
})
