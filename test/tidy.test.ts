/** The rules of the house that no compiler checks: who may import whom, who owns what, and what nobody may call. */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { Glob } from 'bun'

const SRC = join(import.meta.dir, '../src')

/** Folder → folders it may import. Everyone may import `kit`; `app` and `main` may import everything. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  kit: [],
  commands: ['app'],
  config: [],
  engines: [],
  runtime: ['engines'],
  client: ['config'],
  inference: ['runtime'],
  health: [],
  capture: ['inference', 'runtime'],
  http: ['inference', 'store', 'health', 'runtime'],
  store: ['trust'],
  trust: [],
  publisher: ['trust', 'store', 'bundle'],
  bundle: ['trust', 'store'],
  ota: ['trust', 'store'],
  link: [],
  registry: ['trust', 'store', 'link', 'console'],
  console: [],
}

/** Foreign module → folders that own it. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  'bun:ffi': ['runtime', 'health'],
  hono: ['http', 'registry'],
  mqtt: ['link'],
  aedes: ['registry'],
  'bun:sqlite': ['kit'],
  'smol-toml': ['config'],
  commander: ['main.ts', 'commands'],
  pino: ['kit'],
  croner: ['kit'],
  preact: ['console'],
  'preact/hooks': ['console'],
  uplot: ['console'],
  systeminformation: ['health'],
  'tuf-js': ['trust'],
  'tuf-js/dist/error': ['trust'],
  'tuf-js/dist/store': ['trust'],
  '@tufjs/models': ['trust'],
  '@tufjs/models/dist/error': ['trust'],
}

interface Source {
  readonly path: string
  readonly folder: string
  readonly text: string
  /** The same without comments and strings' neighbours: what is called. */
  readonly code: string
}

const sources: Source[] = await Promise.all(
  (await Array.fromAsync(new Glob('**/*.{ts,tsx}').scan({ cwd: SRC }))).sort().map(async (path) => {
    const text = await Bun.file(join(SRC, path)).text()
    const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '')
    return { path, folder: path.split('/')[0] ?? '', text, code }
  }),
)

/** Also `import type`, `export from` and `import()`. */
function importsOf(source: Source): string[] {
  return [...source.code.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '')
}

function folderOf(source: Source, specifier: string): string {
  const absolute = join('/', source.path, '..', specifier)
  return absolute.split('/')[1] ?? ''
}

test('there is something to check', () => {
  expect(sources.length).toBeGreaterThan(40)
  expect(sources.flatMap(importsOf).length).toBeGreaterThan(100)
})

test('folders import only what they may', () => {
  const wrong = sources.flatMap((source) => {
    if (source.folder === 'app' || source.folder === 'main.ts') return []
    const allowed = [...(ARROWS[source.folder] ?? []), source.folder, 'kit']
    return importsOf(source)
      .filter((specifier) => specifier.startsWith('.') && !specifier.endsWith('.toml'))
      .filter((specifier) => !allowed.includes(folderOf(source, specifier)))
      .map((specifier) => `${source.path} imports ${specifier}`)
  })
  expect(wrong).toEqual([])
})

test('every folder has its arrows', () => {
  const folders = new Set(sources.filter(({ path }) => path.includes('/')).map(({ folder }) => folder))
  expect([...folders].filter((folder) => folder !== 'app' && !Object.hasOwn(ARROWS, folder))).toEqual([])
})

test('foreign modules are imported by their owners only', () => {
  const wrong = sources.flatMap((source) =>
    importsOf(source)
      .filter((specifier) => Object.hasOwn(OWNERS, specifier) && !OWNERS[specifier]?.includes(source.folder))
      .map((specifier) => `${source.path} imports ${specifier}`),
  )
  expect(wrong).toEqual([])
})

describe('banned calls', () => {
  const bans: readonly [what: RegExp, only: RegExp, why: string][] = [
    [/\bDate\.now\(|new Date\(\)/, /^(kit\/clock|console\/page\/now)\.ts$/, 'time comes in as a Clock'],
    [/\bprocess\.env\b/, /^config\/environment\.ts$/, 'the environment has one reader'],
    [
      /\bptr\(/,
      /^runtime\/memory\.ts$/,
      'addresses of memory come from one module (small typed arrays move)',
    ],
    [/\brename(Sync)?\(/, /^kit\/durable-file\.ts$/, 'files are replaced durably or not at all'],
    [/\.transaction\(|\bCOMMIT\b/, /^kit\/database\.ts$/, 'databases are written through transact'],
    [/\bconsole\./, /^$/, 'there is a log'],
    [/\bMath\.random\(/, /^kit\/random\.ts$/, 'randomness is passed in'],
  ]
  test.each(bans)('%s only in %s: %s', (what, only) => {
    const wrong = sources
      .filter(({ path, code }) => what.test(code) && !only.test(path))
      .map(({ path }) => path)
    expect(wrong).toEqual([])
  })
})

test('an error made out of another one carries it as its cause', () => {
  const wrong = sources.flatMap((source) =>
    [...source.code.matchAll(/^( *)\} catch \((\w+)\) \{\n([\s\S]*?)\n\1\}/gm)]
      .filter((match) => /throw new/.test(match[3] ?? '') && !/\bcause\b|asEdgeError/.test(match[3] ?? ''))
      .map((match) => `${source.path}: ${match[3]?.trim().split('\n')[0]}`),
  )
  expect(wrong).toEqual([])
})

test('a file is at most 400 lines', () => {
  const long = sources.filter(({ text }) => text.split('\n').length > 400).map(({ path }) => path)
  expect(long).toEqual([])
})

test('committed text names no path of the machine it was written on', async () => {
  const listed = Bun.spawnSync(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: join(SRC, '..'),
  })
  const paths = listed.stdout
    .toString()
    .split('\0')
    .filter((path) => /\.(ts|tsx|css|mjs|md|toml|json|sh|service)$/.test(path))
  const wrong: string[] = []
  for (const path of paths) {
    const text = await Bun.file(join(SRC, '..', path)).text()
    if (/(^|["'\s=(])\/(work|root|home\/\w+)\//m.test(text)) wrong.push(path)
  }
  expect(wrong).toEqual([])
})
