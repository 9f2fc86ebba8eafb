/**
 * Makes dist/limpet-linux-x64 and dist/limpet-linux-arm64: single files that need neither Node nor Bun nor
 * node_modules. `--target x64` or `--target arm64` makes one of them. A file that is up to date is left alone.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { promisify } from 'node:util'
import { constants, zstdCompress } from 'node:zlib'
import { type BunPlugin, Glob } from 'bun'
import { type Asset, bundlePage } from '../src/console/bundle.ts'
import { BUN_VERSION, fetchBun } from './fetch-bun.mjs'

const ROOT = join(import.meta.dir, '..')
const DIST = join(ROOT, 'dist')
/** The level where the library's 46 MB stop getting much smaller; 19 saves 10 % more and takes 30 times as long. */
const ZSTD_LEVEL = 12

const TARGETS = {
  x64: { bun: 'linux-x64', megabytesMax: 160 },
  arm64: { bun: 'linux-aarch64', megabytesMax: 140 },
} as const
type Target = keyof typeof TARGETS

/** Code of worker threads: an entry point each, whose place in the binary the code that starts it has to know. */
const THREADS = {
  LIMPET_RUN_THREAD: 'src/runtime/run-thread.ts',
  LIMPET_CODEC_THREAD: 'src/http/codec-thread.ts',
  LIMPET_GPU_THREAD: 'src/health/gpu-thread.ts',
}

const say = (line: string) => console.log(line)

async function main(): Promise<void> {
  const [option, wanted] = process.argv.slice(2)
  if (option !== undefined && (option !== '--target' || !Object.hasOwn(TARGETS, wanted ?? ''))) {
    const given = process.argv.slice(2).join(' ')
    throw new Error(`Cannot build with "${given}": expected --target ${Object.keys(TARGETS).join(' or ')}`)
  }
  const targets = wanted === undefined ? (Object.keys(TARGETS) as Target[]) : [wanted as Target]
  for (const target of targets) await buildTarget(target)
}

async function buildTarget(target: Target): Promise<void> {
  const outfile = join(DIST, `limpet-linux-${target}`)
  const stamp = `${outfile}.stamp`
  const inputs = await hashInputs()
  const isCurrent =
    (await readFile(stamp, 'utf8').catch(() => '')) === inputs && (await Bun.file(outfile).exists())
  if (!isCurrent) {
    const began = performance.now()
    await compile(target, `${outfile}.draft`)
    await rename(`${outfile}.draft`, outfile)
    await writeFile(stamp, inputs)
    say(`built ${basename(outfile)} in ${((performance.now() - began) / 1000).toFixed(1)} s`)
  }
  const { megabytesMax } = TARGETS[target]
  const megabytes = (await stat(outfile)).size / 1e6
  const verdict = megabytes <= megabytesMax ? 'within' : 'OVER'
  say(`  ${basename(outfile)}  ${megabytes.toFixed(1)} MB, ${verdict} the aim of ${megabytesMax} MB`)
}

async function compile(target: Target, outfile: string): Promise<void> {
  // What is shipped is what is pinned, also for the other architecture, rather than what a download gives today.
  const executablePath = await fetchBun({ platform: TARGETS[target].bun, folder: join(ROOT, '.tools'), say })
  const { version } = (await Bun.file(join(ROOT, 'package.json')).json()) as { version: string }
  await mkdir(DIST, { recursive: true })
  // Before the other one: a bundling that waits for another within it never ends (seen with Bun 1.4.5).
  const assets = await bundlePage()
  const result = await Bun.build({
    entrypoints: ['src/main.ts', ...Object.values(THREADS)].map((path) => join(ROOT, path)),
    root: ROOT,
    target: 'bun',
    minify: { whitespace: true, syntax: true, identifiers: false },
    sourcemap: 'none',
    define: {
      LIMPET_VERSION: JSON.stringify(version),
      LIMPET_COMMIT: JSON.stringify(readCommit()),
      LIMPET_COMMITTED_MS: JSON.stringify(readCommitTime()),
      ...Object.fromEntries(Object.entries(THREADS).map(([name, path]) => [name, pathInBinary(path)])),
    },
    plugins: [embedFiles(target), embedConsole(assets)],
    compile: { target: `bun-linux-${target}`, outfile, executablePath },
  })
  if (!result.success) throw new AggregateError(result.logs, `Cannot build ${outfile}`)
}

/** Entry points keep their path below the binary's own file system. */
function pathInBinary(path: string): string {
  return JSON.stringify(['/$bunfs', 'root', path.replace(/\.ts$/, '.js')].join('/'))
}

/** Puts a module that imports the target's own files in the place of src/app/embedded.ts. */
function embedFiles(target: Target): BunPlugin {
  return {
    name: 'embed-files',
    setup(build) {
      build.onLoad({ filter: /src\/app\/embedded\.ts$/ }, async () => {
        const files = {
          onnxruntime: await pack(
            `node_modules/onnxruntime-node/bin/napi-v6/linux/${target}/libonnxruntime.so.1`,
          ),
        }
        const imports = Object.entries(files).map(
          ([name, { packed }]) => `import ${name}Path from ${JSON.stringify(packed)} with { type: 'file' }`,
        )
        const entries = Object.entries(files).map(
          ([name, { facts }]) =>
            `${name}: { kind: 'packed', path: ${name}Path, ...${JSON.stringify(facts)} }`,
        )
        return {
          loader: 'ts',
          contents: `${imports.join('\n')}\nexport const EMBEDDED = { ${entries.join(', ')} }\n`,
        }
      })
    },
  }
}

/** Puts the console's files, made now, in the place of what makes them when they are asked for. */
function embedConsole(assets: readonly Asset[]): BunPlugin {
  return {
    name: 'embed-console',
    setup(build) {
      build.onLoad({ filter: /src\/console\/assets\.ts$/ }, () => ({
        loader: 'ts',
        contents: `export const consoleAssets = async () => (${JSON.stringify(assets)})\n`,
      }))
    },
  }
}

const compress = promisify(zstdCompress)

/** Compresses a file of node_modules once; kept under the SHA-256 of its content. */
async function pack(path: string) {
  const bytes = await readFile(join(ROOT, path))
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const packed = join(DIST, 'embedded', `${sha256}-${ZSTD_LEVEL}.zst`)
  if (!(await Bun.file(packed).exists())) {
    await mkdir(join(DIST, 'embedded'), { recursive: true })
    const small = await compress(bytes, { params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } })
    await writeFile(`${packed}.draft`, small)
    await rename(`${packed}.draft`, packed)
    say(`packed ${relative('node_modules', path)}: ${bytes.length} bytes to ${small.length}`)
  }
  return { packed, facts: { name: basename(path), sha256, bytes: bytes.length } }
}

async function hashInputs(): Promise<string> {
  // The commit too: the binary names it, and people look there for what is running.
  const hash = createHash('sha256').update(BUN_VERSION).update(readCommit())
  const patterns = [
    'src/**/*',
    'firmware-profiles/*',
    'package.json',
    'bun.lock',
    'scripts/build.ts',
    'scripts/fetch-bun.mjs',
  ]
  for (const pattern of patterns) {
    const paths = await Array.fromAsync(new Glob(pattern).scan({ cwd: ROOT }))
    for (const path of paths.sort()) hash.update(path).update(await readFile(join(ROOT, path)))
  }
  return hash.digest('hex')
}

function readCommit(): string {
  const git = Bun.spawnSync(['git', 'rev-parse', '--short=12', 'HEAD'], { cwd: ROOT, stderr: 'ignore' })
  return git.success ? git.stdout.toString().trim() : 'unknown'
}

function readCommitTime(): number {
  const git = Bun.spawnSync(['git', 'log', '-1', '--format=%ct'], { cwd: ROOT, stderr: 'ignore' })
  return git.success ? Number(git.stdout.toString().trim()) * 1000 : 0
}

await main()
