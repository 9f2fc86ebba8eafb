import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir, rm, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { findModelFile, listModels } from '../../src/store/model-folder.ts'
import { createFolder } from '../kit/binary.ts'

const folder = await createFolder()
afterAll(folder.remove)

let roots = 0
/** A repository of these files; a path that ends in "/" is an empty folder, "->" makes a link. */
async function repository(files: Readonly<Record<string, string>>): Promise<string> {
  roots += 1
  const root = join(folder.path, `${roots}`)
  await mkdir(root)
  for (const [path, content] of Object.entries(files)) {
    await mkdir(path.endsWith('/') ? join(root, path) : dirname(join(root, path)), { recursive: true })
    if (path.endsWith('/')) continue
    if (content.startsWith('-> ')) await symlink(content.slice(3), join(root, path))
    else await Bun.write(join(root, path), content)
  }
  return root
}

/** All models of a repository, with what is wrong with each version. */
async function examine(root: string, file = 'model.onnx') {
  const models = await listModels(root)
  return await Promise.all(
    models.map(async (model) => {
      const found = await Promise.all(model.versions.map((version) => findModelFile(version, file)))
      const problems = found.map((of) => ('problem' in of ? of.problem : undefined))
      return { ...model, found, problems }
    }),
  )
}

/** The one model of a repository. */
async function onlyModel(files: Readonly<Record<string, string>>, file?: string) {
  const models = await examine(await repository(files), file)
  expect(models.length).toBe(1)
  const [model] = models
  if (model === undefined) throw new Error('There is no model')
  return model
}

test('models and versions by name, each with its path', async () => {
  const root = await repository({
    'b/1/model.onnx': 'x',
    'b/2/model.onnx': 'x',
    'a/1.0-rc_1/model.onnx': 'x',
    'a/config.toml': 'version_policy = "all"',
    'readme.md': 'a file beside them',
    'a/notes.txt': 'a file beside the versions',
  })
  const version = (model: string, name: string) => ({
    version: name,
    path: join(root, model, name),
  })
  expect(await listModels(root)).toEqual([
    {
      name: 'a',
      versions: [version('a', '1.0-rc_1')],
      config: { path: join(root, 'a/config.toml'), text: 'version_policy = "all"' },
      problem: undefined,
    },
    { name: 'b', versions: [version('b', '1'), version('b', '2')], config: undefined, problem: undefined },
  ])
})

test('hidden folders are no models and no versions', async () => {
  const { name, versions } = await onlyModel({
    '.git/1/model.onnx': 'x',
    'a/.2.draft/model.onnx': 'x',
    'a/1/model.onnx': 'x',
  })
  expect([name, versions.map(({ version }) => version)]).toEqual(['a', ['1']])
})

test('an empty folder holds no models', async () => {
  expect(await listModels(await repository({}))).toEqual([])
})

describe('a root that cannot be read is refused with what is expected', () => {
  test.each([
    ['not there', 'nowhere'],
    ['a file', 'file'],
  ])('%s', async (_, name) => {
    const root = join(await repository({ file: 'x' }), name)
    const listing = listModels(root)
    await expect(listing).rejects.toMatchObject({ code: 'config_invalid' })
    await expect(listing).rejects.toThrow(`"${root}"`)
    await expect(listing).rejects.toThrow('NAME/VERSION/model.onnx')
  })
})

describe('names', () => {
  test.each(['a', '_', 'A-b.c_9', 'a'.repeat(128)])('%s is a name', async (name) => {
    const model = await onlyModel({ [`${name}/${name}/model.onnx`]: 'x' })
    expect(model.problem).toBeUndefined()
    expect(model.problems).toEqual([undefined])
  })

  test.each(['-a', 'a b', 'ä', 'a%2f', 'a+b', 'a'.repeat(129)])('%s is none', async (name) => {
    const model = await onlyModel({ [`${name}/1/model.onnx`]: 'x' })
    expect(model).toMatchObject({ name, versions: [] })
    expect(model.problem).toStartWith(`Cannot use "${name}" as a model's name: it must match `)
  })

  test.each(['-1', '1 2', 'v1+x'])('%s is none for a version; the others are served', async (version) => {
    const { versions, problem, problems } = await onlyModel({
      [`a/${version}/model.onnx`]: 'x',
      'a/7/model.onnx': 'x',
    })
    expect(problem).toBeUndefined()
    expect(problems[versions.findIndex((item) => item.version === version)]).toContain('as a version')
    expect(problems[versions.findIndex((item) => item.version === '7')]).toBeUndefined()
  })
})

describe('what is wrong with one version is said of that version', () => {
  test.each([
    ['a/1/', '', 'Cannot serve version 1: there is no "'],
    ['a/1/Model.onnx', 'x', 'Cannot serve version 1: there is no "'],
    ['a/1/model.onnx', '', 'is empty (0 bytes)'],
    ['a/1/model.onnx/', '', 'is not a file'],
    ['a/1/model.onnx', '-> nowhere.onnx', 'Cannot serve version 1: there is no "'],
  ])('%s %p: %s', async (path, content, problem) => {
    const { problems } = await onlyModel({ [path]: content, 'a/2/model.onnx': 'x' })
    expect(problems).toEqual([expect.stringContaining(problem), undefined])
  })
})

test('a model without a version is listed with what is expected', async () => {
  const model = await onlyModel({ 'a/model.onnx': 'x' })
  expect(model.versions).toEqual([])
  expect(model.problem).toContain('holds no version, expected a folder like 1/ with model.onnx in it')
})

describe('config.toml', () => {
  test('of one MiB is read, of a byte more refused', async () => {
    const mebibyte = '#'.repeat(1024 ** 2)
    const whole = await onlyModel({ 'a/1/model.onnx': 'x', 'a/config.toml': mebibyte })
    expect(whole.config?.text.length).toBe(1024 ** 2)
    const past = await onlyModel({ 'a/1/model.onnx': 'x', 'a/config.toml': `${mebibyte}#` })
    expect(past).toMatchObject({ name: 'a', versions: [] })
    expect(past.problem).toContain('has 1048577 bytes, at most 1048576')
  })

  test('that is a folder breaks this model only', async () => {
    const root = await repository({ 'a/1/model.onnx': 'x', 'a/config.toml/': '', 'b/1/model.onnx': 'x' })
    const models = await listModels(root)
    expect(models.map(({ problem }) => problem)).toEqual([
      expect.stringContaining('Cannot read model "a": '),
      undefined,
    ])
  })
})

test("a model of several files may be a folder of the file's name", async () => {
  const { found } = await onlyModel({ 'a/1/model.onnx/model.onnx': 'x', 'a/1/model.onnx/weights': 'x' })
  expect(found).toEqual([{ path: expect.stringMatching(/a\/1\/model\.onnx\/model\.onnx$/) }])
})

test('the file is that of the config', async () => {
  const { problems } = await onlyModel({ 'a/1/net.onnx': 'x', 'a/2/model.onnx': 'x' }, 'net.onnx')
  expect(problems).toEqual([undefined, expect.stringContaining('2/net.onnx"')])
})

test('the folder with what a model is warmed up with is no version', async () => {
  const { versions } = await onlyModel({ 'a/warmup/model.onnx': 'x', 'a/v1/model.onnx': 'x' })
  expect(versions.map(({ version }) => version)).toEqual(['v1'])
})

describe('config.pbtxt', () => {
  test('is read as the config; then only numbers are versions, as for Triton', async () => {
    const folders = ['1', '20', '01', '0', 'warmup', 'v3']
    const files = Object.fromEntries(folders.map((name) => [`a/${name}/model.onnx`, 'x']))
    const { config, versions } = await onlyModel({ ...files, 'a/config.pbtxt': 'name: "a"' })
    expect(config?.text).toBe('name: "a"')
    expect(versions.map(({ version }) => version)).toEqual(['1', '20'])
  })

  test('beside config.toml is one too many', async () => {
    const files = { 'a/1/model.onnx': 'x', 'a/config.pbtxt': '', 'a/config.toml': '' }
    const { problem } = await onlyModel(files)
    expect(problem).toContain('holds config.toml and config.pbtxt, expected one of them')
  })
})

describe('links', () => {
  test('to a model, a version and a file are followed', async () => {
    const root = await repository({
      '.store/whole/1/model.onnx': 'x',
      linked: '-> .store/whole',
      'a/1': '-> ../.store/whole/1',
      'b/1/model.onnx': '-> ../../.store/whole/1/model.onnx',
    })
    const models = await examine(root)
    expect(models.map(({ name, problems }) => [name, problems])).toEqual([
      ['a', [undefined]],
      ['b', [undefined]],
      ['linked', [undefined]],
    ])
  })

  test('to a file are no models', async () => {
    expect(await listModels(await repository({ '.store/file': 'x', linked: '-> .store/file' }))).toEqual([])
  })

  test('that lead nowhere or round in a circle are broken models: the others are served', async () => {
    const root = await repository({
      gone: '-> /nowhere/at/all',
      circle: '-> circle',
      'a/1/model.onnx': 'x',
      'a/2': '-> ../nowhere',
    })
    const models = await examine(root)
    expect(models.map(({ name, problem }) => [name, problem])).toEqual([
      ['a', undefined],
      ['circle', expect.stringContaining('Cannot read model "circle": ELOOP')],
      ['gone', expect.stringContaining('Cannot read model "gone": ENOENT')],
    ])
    expect(models[0]?.problems).toEqual([
      undefined,
      expect.stringContaining('Cannot serve version 2: there is no "'),
    ])
  })
})

test('what was read stays one version, though the link is turned to another one meanwhile', async () => {
  const root = await repository({
    '.versions/1/1/model.onnx': 'one',
    '.versions/2/2/model.onnx': 'two',
    yolo: '-> .versions/1',
  })
  const [before] = await listModels(root)
  await rm(join(root, 'yolo'))
  await symlink('.versions/2', join(root, 'yolo'))
  const [version] = before?.versions ?? []
  expect(version && (await findModelFile(version, 'model.onnx'))).toEqual({
    path: join(root, '.versions/1/1/model.onnx'),
  })
})
