/** Publishing with the compiled binary and real models: checked, golden samples made, uploaded, signed, bundled. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Bundle } from '../../src/bundle/bundle.ts'
import { generateKeyPem, readSigningKey } from '../../src/trust/key.ts'
import { BINARY, createFolder, MODELS, runToEnd } from '../kit/binary.ts'
import { FakeRegistry } from '../publisher/fake-registry.ts'
import { Fleet } from '../trust/fleet.ts'

let folder: Awaited<ReturnType<typeof createFolder>>
let registry: FakeRegistry
let home: string
const pem = generateKeyPem(undefined)

beforeAll(async () => {
  folder = await createFolder()
  home = folder.path
  const publisher = readSigningKey(pem, { name: 'publisher' })
  registry = new FakeRegistry(new Fleet({ publisher, startMs: Date.now() }))
  await writeFile(join(home, 'publisher.pem'), pem)
  await writeFile(join(home, 'stranger.pem'), generateKeyPem(undefined))
  await writeFile(join(home, 'api-key'), `${registry.apiKey}\n`)
  await writeFile(join(home, 'root.json'), registry.fleet.firstRoot)
  for (const name of ['simple', 'text-orientation'])
    await cp(join(MODELS, name), join(home, name), { recursive: true })
})
afterAll(async () => {
  await registry.stop()
  await folder.remove()
})

const ACCESS = () => ['--registry', registry.url, '--api-key-file', 'api-key', '--root', 'root.json']
const run = (...args: string[]) => runToEnd(home, { command: [BINARY, ...args] })
const push = (name: string, ...more: string[]) =>
  run('model', 'push', name, '--family', 'vision', '--key', 'publisher.pem', ...ACCESS(), ...more)

describe('limpet model', () => {
  test('push makes golden samples, checks them, uploads and signs', async () => {
    const { stdout, stderr, exitCode } = await push('text-orientation', '--make-golden', '2')
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(stdout).toContain('made golden samples')
    expect(stdout).toContain('loads and answers as it should')
    expect(stdout).toMatch(/published vision\/text-orientation \S+ as release 1, manifest [0-9a-f]{64}/)
    const golden = JSON.parse(await readFile(join(home, 'text-orientation/golden/outputs.json'), 'utf8')) as {
      shape: number[]
    }[][]
    expect(golden).toHaveLength(2)
  }, 120_000)

  test('push refuses an ensemble, which has no files that could travel, and says what does', async () => {
    const step = '[[ensemble.steps]]\nmodel = "simple"\ninputs = { INPUT0 = "A", INPUT1 = "B" }\n'
    await Bun.write(join(home, 'twice/config.toml'), `${step}outputs = { OUTPUT0 = "SUM" }\n`)
    await mkdir(join(home, 'twice/1'))
    const { exitCode, stderr } = await push('twice')
    expect(exitCode).not.toBe(0)
    expect(stderr).toContain('Cannot publish "twice": it is an ensemble, which does not travel')
    expect(stderr).toContain('publish and assign what it is made of (simple)')
  })

  test('answers are made for inputs that are given', async () => {
    const inputs = ['INPUT0', 'INPUT1'].map((name) => ({
      name,
      datatype: 'INT32',
      shape: [1, 16],
      data: Array(16).fill(21),
    }))
    await Bun.write(join(home, 'simple/golden/inputs.json'), JSON.stringify([inputs]))
    expect(await push('simple', '--name', 'answered', '--make-golden', '1')).toMatchObject({
      exitCode: 0,
      stderr: '',
    })
    const [sample] = JSON.parse(await readFile(join(home, 'simple/golden/outputs.json'), 'utf8')) as {
      name: string
      b64: string
    }[][]
    const sum = sample?.find(({ name }) => name === 'OUTPUT0')
    expect(Buffer.from(sum?.b64 ?? '', 'base64').readInt32LE(60)).toBe(42)
  }, 120_000)

  test('push again does nothing', async () => {
    const { stdout, exitCode } = await push('text-orientation')
    expect(exitCode).toBe(0)
    expect(stdout).toContain('nothing to do')
  }, 120_000)

  test('list, show and verify agree on what was published', async () => {
    const list = await run('model', 'list', ...ACCESS(), '--json')
    const models = JSON.parse(list.stdout) as { model: string; version: string; release: number }[]
    const listed = models.find(({ model }) => model === 'vision/text-orientation')
    expect(listed).toMatchObject({ model: 'vision/text-orientation', release: 1 })
    const name = [listed?.model ?? '', listed?.version ?? '']
    const show = await run('model', 'show', ...name, ...ACCESS())
    expect(show.stdout).toContain('default: any; cpu')
    expect(show.stdout).toContain('golden samples: golden')
    const verify = await run('model', 'verify', ...name, ...ACCESS())
    expect(verify).toMatchObject({ exitCode: 0, stderr: '' })
    expect(verify.stdout).toContain('all as signed')
  }, 120_000)

  test('a bundle holds all of it', async () => {
    const wrote = await run(
      'bundle',
      'export',
      'site.bundle',
      '--model',
      'vision/text-orientation@1',
      ...ACCESS(),
    )
    expect(wrote).toMatchObject({ exitCode: 0, stderr: '' })
    const bundle = await Bundle.open(join(home, 'site.bundle'))
    const view = await registry.fleet.device().client.refresh(bundle)
    expect((await view.facts('vision/text-orientation', '1')).listed?.release).toBe(1)
    await bundle.close()
  }, 120_000)

  test('golden samples that the model does not answer keep it from being published', async () => {
    const outputs = join(home, 'text-orientation/golden/outputs.json')
    const before = await readFile(outputs, 'utf8')
    const wrong = JSON.parse(before) as { b64: string }[][]
    for (const tensor of wrong[0] ?? [])
      tensor.b64 = Buffer.alloc(Buffer.from(tensor.b64, 'base64').length).toString('base64')
    await writeFile(outputs, JSON.stringify(wrong))
    const uploads = registry.requests.filter((request) => request.startsWith('P')).length
    const { exitCode, stderr } = await push('text-orientation', '--name', 'other')
    await writeFile(outputs, before)
    expect(exitCode).toBe(1)
    expect(stderr).toContain('golden_failed')
    expect(registry.requests.filter((request) => request.startsWith('P'))).toHaveLength(uploads)
  }, 120_000)

  test('what a push that was killed has left is swept away by the next', async () => {
    const staging = join(home, 'state/staging')
    await Bun.write(join(staging, 'push-999999999-abc/model/1/model.onnx'), 'left')
    await Bun.write(join(staging, `push-${process.pid}-abc/model/1/model.onnx`), 'in use')
    await push('text-orientation')
    expect(await readdir(staging)).toEqual([`push-${process.pid}-abc`])
  }, 120_000)

  test('a file that is no model is not published', async () => {
    await cp(join(home, 'simple'), join(home, 'broken'), { recursive: true })
    await writeFile(join(home, 'broken/1/model.onnx'), 'no model')
    const { exitCode, stderr } = await push('broken')
    expect(exitCode).toBe(1)
    expect(stderr).toContain('load_failed')
  }, 120_000)

  test('a key of nobody is refused with its reason in words', async () => {
    const args = ['model', 'push', 'simple', '--family', 'vision', '--key', 'stranger.pem', ...ACCESS()]
    const { exitCode, stderr } = await run(...args)
    expect(exitCode).toBe(1)
    expect(stderr).toContain('its publisher is')
  }, 120_000)

  test('a registry is not trusted without a root, nor by another one than before', async () => {
    const access = ['--registry', registry.url, '--api-key-file', 'api-key']
    const without = await run('model', 'list', ...access, '--state', join(home, 'fresh'))
    expect(without).toMatchObject({ exitCode: 78 })
    expect(without.stderr).toContain('--root FILE')
    await writeFile(join(home, 'other-root.json'), new Fleet().firstRoot)
    const other = await run('model', 'list', ...access, '--root', 'other-root.json')
    expect(other.stderr).toContain('by another root before')
  }, 120_000)

  test('floor and remove', async () => {
    await push('simple')
    const signed = ['--key', 'publisher.pem', ...ACCESS()]
    expect(await run('model', 'floor', 'vision/simple', '2', ...signed)).toMatchObject({
      exitCode: 0,
      stderr: '',
    })
    expect((await run('model', 'list', ...ACCESS())).stdout).toContain('under the security floor')
    expect(await run('model', 'remove', 'vision/simple', '1', ...signed)).toMatchObject({
      exitCode: 0,
      stderr: '',
    })
    expect((await run('model', 'list', ...ACCESS())).stdout).not.toContain('vision/simple')
    const gone = await run('model', 'remove', 'vision/simple', '1', ...signed)
    expect(gone).toMatchObject({ exitCode: 65 })
    expect((await run('model', 'floor', 'vision/simple', '1', ...signed)).stderr).toContain('Cannot lower')
  }, 120_000)
})
