/** The commands around serving: what they print, and the number they end with. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EMBEDDED } from '../../src/app/embedded.ts'
import { BINARY, createFolder, MODELS, runToEnd, writeModel } from '../kit/binary.ts'
import { HAS_COMPILER } from '../kit/fake-nvml.ts'
import * as zoo from '../kit/model-zoo.ts'

const folder = await createFolder()
const broken = join(folder.path, 'broken')
const empty = join(folder.path, 'empty')
const here = (name: string) => join(folder.path, name)

beforeAll(async () => {
  await writeModel(broken, 'whole', { onnx: zoo.simple() })
  await writeModel(broken, 'noise', { onnx: new TextEncoder().encode('this is not a model') })
  await writeModel(broken, 'hollow', { onnx: new Uint8Array(0) })
  await writeModel(broken, 'odd-config', { onnx: zoo.simple(), config: 'verson_policy = "all"' })
  await mkdir(join(broken, 'no-version'))
  await mkdir(empty)
  await writeFile(here('not-a-library.so'), 'not a library')
  await writeFile(here('library.toml'), `[runtime]\nlibrary = "${here('not-a-library.so')}"`)
  await writeFile(here('no-library.toml'), `[runtime]\nlibrary = "${here('nowhere.so')}"`)
  await writeFile(
    here('mistakes.toml'),
    'log_level = "loud"\ncolour = "red"\n[http]\nport = 70000\nprot = 1\n[inference]\nrequests_max = "many"',
  )
  await writeFile(here('not.toml'), '[http\nport = 8000')
})

afterAll(folder.remove)

const limpet = (...args: string[]) => runToEnd(folder.path, { command: [BINARY, ...args] })

interface Report {
  readonly healthy: boolean
  readonly checks: readonly { id: string; topic: string; status: string; text: string; fix: string }[]
}

/** What doctor says in JSON, with its exit code; and that its words say the same. */
async function examine(...args: string[]): Promise<Report & { exitCode: number; bad: string[] }> {
  const json = await limpet('doctor', ...args, '--json', '--seconds', '60')
  const report = JSON.parse(json.stdout) as Report
  expect(json.stderr).toBe('')
  expect(json.exitCode).toBe(report.healthy ? 0 : 1)
  const bad = report.checks.filter(({ status }) => status === 'fault').map(({ text }) => text)
  const words = await limpet('doctor', ...args, '--seconds', '60')
  expect(words.exitCode).toBe(json.exitCode)
  expect(words.stdout).toContain(report.healthy ? 'is in order' : 'needs a person')
  for (const text of bad) expect(words.stdout).toContain(text)
  return { ...report, exitCode: json.exitCode, bad }
}

/** A shared library out of a line of C. */
async function build(path: string, source: string, ...flags: string[]): Promise<void> {
  const gcc = Bun.spawn(['gcc', '-shared', '-fPIC', '-o', path, '-x', 'c', '-', '-x', 'none', ...flags], {
    stdin: Buffer.from(source),
    stderr: 'inherit',
  })
  expect(await gcc.exited).toBe(0)
}

describe('doctor', () => {
  test('finds nothing wrong where nothing is', async () => {
    const { healthy, exitCode, checks } = await examine('--models', MODELS)
    expect({ healthy, exitCode }).toEqual({ healthy: true, exitCode: 0 })
    expect([...new Set(checks.map(({ topic }) => topic))]).toEqual([
      'machine',
      'config',
      'profile',
      'gpu',
      'libraries',
      'runtime',
      'providers',
      'engines',
      'models',
      'service',
      'storage',
      'clock',
      'network',
      'registry',
      'certificates',
      'capture',
    ])
    const said = (topic: string) => checks.filter((check) => check.topic === topic).map(({ text }) => text)
    expect(said('storage')[0]).toMatch(/SQLite 3\.[\d.]+ opens/)
    expect(said('runtime')).toEqual([expect.stringMatching(/^ONNX Runtime [\d.]+, .*inside the binary/)])
    expect(said('providers')).toContain('cpu: available')
    expect(said('models')).toContain(
      'simple 1: INPUT0 INT32 [batch,16], INPUT1 INT32 [batch,16] → OUTPUT0 INT32 [batch,16], OUTPUT1 INT32 [batch,16]',
    )
    expect(said('models')).toContainEqual(
      expect.stringMatching(/^simple 1: [\d.]+ MB, swap auto, on CPUExecutionProvider$/),
    )
    expect(said('models')).toContainEqual(
      expect.stringMatching(/^simple 1: half of \d+ runs on zeros took [\d.]+ ms at most/),
    )
    expect(said('models')).toContain('simple 1: placement: CPUExecutionProvider 2 nodes')
  })

  test('leaves the disk as it is', async () => {
    const state = here('untouched')
    expect((await limpet('doctor', '--models', MODELS, '--state', state)).exitCode).toBe(0)
    expect(existsSync(state)).toBe(false)
  })

  test('names each broken model and why, and still loads the rest', async () => {
    const { exitCode, checks, bad } = await examine('--models', broken)
    expect(exitCode).toBe(1)
    expect(bad).toEqual([
      expect.stringMatching(/^hollow 1: .*is empty \(0 bytes\)/),
      expect.stringMatching(/^no-version: .*holds no version, expected a folder like 1\//),
      expect.stringMatching(/^noise 1: .*Protobuf parsing failed/),
      expect.stringMatching(/^odd-config: .*config\.toml.*verson_policy/),
    ])
    expect(checks).toContainEqual(
      expect.objectContaining({
        topic: 'models',
        status: 'ok',
        text: expect.stringContaining('whole 1: INPUT0'),
      }),
    )
  })

  test.each([
    ['without models', () => empty, 'holds no model, expected NAME/VERSION/model.onnx'],
    ['that is not there', () => here('nowhere'), 'Cannot read the models folder'],
  ])('calls a models folder %s bad', async (_, path, says) => {
    const { exitCode, bad } = await examine('--models', path())
    expect({ exitCode, bad }).toEqual({ exitCode: 1, bad: [expect.stringContaining(says)] })
    expect(bad[0]).toContain(`"${path()}"`)
  })

  test.each([
    ['a file that is no library', 'library.toml', 'not-a-library.so'],
    ['a file that is not there', 'no-library.toml', 'nowhere.so'],
  ])('names a runtime.library that is %s', async (_, config, library) => {
    const { exitCode, bad } = await examine('--config', here(config))
    expect(exitCode).toBe(1)
    expect(bad).toHaveLength(1)
    expect(bad[0]).toContain(here(library))
  })

  test.skipIf(!HAS_COMPILER)(
    'says what a library lacks, in the words of whoever has to bring it',
    async () => {
      const folderOfIt = here('gpu-build')
      await mkdir(folderOfIt)
      await build(here('libcudart.so.13'), 'int a;', '-Wl,-soname,libcudart.so.13')
      await copyFile(EMBEDDED.onnxruntime.path, join(folderOfIt, 'libonnxruntime.so'))
      const provider = join(folderOfIt, 'libonnxruntime_providers_cuda.so')
      await build(provider, 'int b;', '-Wl,--no-as-needed', here('libcudart.so.13'))
      await rm(here('libcudart.so.13'))
      const library = `library = "${join(folderOfIt, 'libonnxruntime.so')}"`
      await writeFile(here('gpu.toml'), `[runtime]\n${library}\nproviders = ["cuda", "cpu"]`)
      const { bad, checks } = await examine('--config', here('gpu.toml'))
      expect(bad).toEqual([
        expect.stringContaining('this is missing: libcudart.so.13 (CUDA 13); it would open later'),
      ])
      expect(bad[0]).toContain(`cuda: "${provider}" (runtime.providers in the config)`)
      expect(checks.find(({ id }) => id === 'libraries.missing')?.fix.split('\n')[0]).toMatch(
        /^install the libraries of CUDA 13/,
      )
      expect(checks.find(({ id }) => id === 'runtime.loaded')?.status).toBe('ok')
    },
  )

  test.skipIf(!HAS_COMPILER)('outlives a library that crashes, and says how far it came', async () => {
    const crash = here('crash.so')
    await build(crash, '__attribute__((constructor)) static void crash(void) { *(volatile int *)0 = 1; }')
    await writeFile(here('crash.toml'), `[runtime]\nlibrary = "${crash}"`)
    const { bad, checks } = await examine('--config', here('crash.toml'))
    expect(bad).toEqual([
      expect.stringMatching(/^what loads ONNX Runtime crashed with SIG\w+, after it had found: /),
    ])
    expect(checks.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['machine.board', 'libraries.whole', 'storage.space']),
    )
  })

  test('names every mistake in the config at once', async () => {
    const { exitCode, bad } = await examine('--config', here('mistakes.toml'))
    expect(exitCode).toBe(1)
    expect(bad).toHaveLength(1)
    for (const words of [here('mistakes.toml'), ...MISTAKES]) expect(bad[0]).toContain(words)
  })
})

const MISTAKES = ['log_level', 'colour', 'http.port', 'prot', 'inference.requests_max']

describe('serve with a wrong config ends with 78', () => {
  const serve = (config: string) =>
    limpet('serve', '--models', MODELS, '--port', '0', '--config', here(config))

  test('and every mistake', async () => {
    const { stdout, stderr, exitCode } = await serve('mistakes.toml')
    expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 78 })
    for (const words of ['limpet: ', here('mistakes.toml'), ...MISTAKES]) expect(stderr).toContain(words)
  })

  test('and the line that is not TOML', async () => {
    const { stderr, exitCode } = await serve('not.toml')
    expect(exitCode).toBe(78)
    expect(stderr).toMatch(/^limpet: Cannot read ".*not\.toml" line 1 column \d+: /)
  })

  test('and the name of the file that is not there', async () => {
    const { stderr, exitCode } = await serve('nothing.toml')
    expect(exitCode).toBe(78)
    expect(stderr).toContain(`limpet: Cannot read the config "${here('nothing.toml')}"`)
  })

  test('and the models folder that is not there', async () => {
    const { stderr, exitCode } = await limpet('serve', '--models', here('nowhere'), '--port', '0')
    expect(exitCode).toBe(78)
    expect(stderr).toContain(`limpet: Cannot read the models folder "${here('nowhere')}"`)
  })
})

describe('version', () => {
  test('is one line of JSON for a script', async () => {
    const { version } = (await Bun.file(join(import.meta.dir, '../../package.json')).json()) as {
      version: string
    }
    const { stdout, exitCode } = await limpet('version', '--json')
    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout)).toEqual({ version, commit: expect.any(String) })
    expect((await limpet('version')).stdout).toStartWith(`limpet ${version} (`)
    expect(await limpet('--version')).toEqual({ stdout: `${version}\n`, stderr: '', exitCode: 0 })
  })
})

describe('arguments', () => {
  test.each(['', 'up', 'serve', 'infer', 'doctor', 'version'])(
    'limpet %s --help ends with 0',
    async (command) => {
      const { stdout, stderr, exitCode } = await limpet(...(command === '' ? [] : [command]), '--help')
      expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 })
      expect(stdout).toStartWith(`Usage: limpet ${command}`)
    },
  )

  test.each([
    ['an unknown command', ['sevre'], 'sevre'],
    ['an unknown option', ['serve', '--modles', 'x'], '--modles'],
    ['an option without its value', ['serve', '--models'], '--models'],
    ['a port beyond 65535', ['serve', '--port', '65536'], 'an integer from 0 to 65535'],
    ['a port that is no number', ['serve', '--port', '80x'], 'an integer from 0 to 65535'],
    ['an argument too many', ['version', 'please'], 'argument'],
    ['no model to ask', ['infer'], 'model'],
    ['no command at all', [], 'Usage: limpet'],
  ])('%s ends with 64 and says so', async (_, args, says) => {
    const { stdout, stderr, exitCode } = await limpet(...args)
    expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 64 })
    expect(stderr).toContain(says)
  })
})
