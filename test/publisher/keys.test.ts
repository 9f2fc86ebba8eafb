/** The ceremony and every change of keys, on files, as a person runs them; and a device that follows. */
import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type KeyChange, runKeyChange, runKeysInit } from '../../src/app/keys.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { TrustClient } from '../../src/trust/client.ts'
import { HighWaterMemory } from '../../src/trust/high-water.ts'
import { MetadataFolder, MetadataMemory } from '../../src/trust/metadata-files.ts'

const folders: string[] = []
let folder: string
let lines: string[]
const print = (line: string) => void lines.push(line)

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'limpet-keys-')), 'keys')
  folders.push(join(folder, '..'))
  lines = []
})
afterAll(async () => {
  for (const each of folders) await rm(each, { recursive: true, force: true })
})

const INIT = { family: ['vision'], rootKeys: 3, rootThreshold: 2, passphraseFile: undefined }
const init = (options: object = {}) => runKeysInit({ out: folder, ...INIT, ...options }, print)
const change = (what: KeyChange, options: object = {}) =>
  runKeyChange(
    what,
    {
      dir: folder,
      key: [],
      passphraseFile: undefined,
      registry: undefined,
      apiKeyFile: undefined,
      caFile: undefined,
      ...options,
    },
    print,
  )

/** A device that enrolled with the first root and looks at the registry's folder. */
async function device() {
  const files = new MetadataFolder(join(folder, 'registry/tuf'))
  const client = new TrustClient({
    files: new MetadataMemory(),
    highWater: new HighWaterMemory(),
    clock: systemClock,
    builtMs: 0,
    enrolledRoot: (await files.read('1.root.json')) ?? new Uint8Array(),
    makeNonce: () => '0'.repeat(32),
  })
  return () =>
    client.refresh({
      fetchMetadata: (name) => files.read(name),
      fetchObject: async (sha256) => new Uint8Array(await readFile(join(folder, 'registry/objects', sha256))),
    })
}

const keysIn = async (place: string) => (await readdir(join(folder, place))).sort()

describe('the ceremony', () => {
  test('makes each key in its place, readable by its owner only, and says what to do', async () => {
    await init({ family: ['vision', 'audio'] })
    expect((await keysIn('offline')).map((name) => name.replace(/-[0-9a-f]{8}\.pem$/, ''))).toEqual([
      'root-1',
      'root-2',
      'root-3',
      'targets',
    ])
    expect((await keysIn('publishers')).map((name) => name.replace(/-[0-9a-f]{8}\.pem$/, ''))).toEqual([
      'audio',
      'vision',
    ])
    expect((await keysIn('registry/keys')).map((name) => name.replace(/-[0-9a-f]{8}\.pem$/, ''))).toEqual([
      'director',
      'snapshot',
      'timestamp',
    ])
    for (const place of ['offline', 'publishers', 'registry/keys']) {
      for (const name of await keysIn(place))
        expect((await stat(join(folder, place, name))).mode & 0o777).toBe(0o600)
    }
    expect(lines.join('\n')).toContain('off the network')
    expect(lines.join('\n')).toContain('NOT encrypted')
    expect((await (await device())()).families().sort()).toEqual(['audio', 'vision'])
  })

  test('never writes over keys', async () => {
    await init()
    const before = await keysIn('offline')
    await expect(init()).rejects.toThrow('never overwritten')
    expect(await keysIn('offline')).toEqual(before)
  })

  test.each([
    [{ rootKeys: 1 }, '2 of 1 root keys'],
    [{ family: ['root'] }, '"root"'],
    [{ family: ['a/b'] }, '"a/b"'],
    [{ family: ['a', 'a'] }, '"a", "a"'],
  ])('%p is refused before anything is made', async (wrong, words) => {
    await expect(init(wrong)).rejects.toThrow(words)
    await expect(readdir(folder)).rejects.toThrow()
  })

  test('with a passphrase, keys that leave the machine are encrypted, and work with it only', async () => {
    const passphraseFile = `${folder}-passphrase`
    await writeFile(passphraseFile, 'correct horse\n')
    await init({ passphraseFile })
    for (const place of ['offline', 'publishers']) {
      for (const name of await keysIn(place))
        expect(await readFile(join(folder, place, name), 'utf8')).toContain('ENCRYPTED')
    }
    await expect(change({ do: 'renew', what: 'targets' })).rejects.toThrow('--passphrase-file')
    await change({ do: 'renew', what: 'targets' }, { passphraseFile })
    await rm(passphraseFile)
  })
})

describe('a change', () => {
  test.each(['root', 'targets', 'snapshot', 'timestamp', 'director', 'vision'])(
    'rotation of %s: devices go on',
    async (what) => {
      await init()
      const look = await device()
      const before = (await look()).directorKeys
      await change({ do: 'rotate', what })
      const view = await look()
      expect(view.versions.root).toBe(what === 'director' || what === 'vision' ? 1 : 2)
      expect(view.directorKeys[0]?.id === before[0]?.id).toBe(what !== 'director')
      await view.listModels()
      // And once more, by the keys that have just been made.
      await change({ do: 'rotate', what })
      await (await look()).listModels()
    },
  )

  test.each(['root', 'targets', 'vision'])('renewal of %s: devices go on', async (what) => {
    await init()
    const look = await device()
    await look()
    await change({ do: 'renew', what })
    expect((await look()).versions.root).toBe(what === 'root' ? 2 : 1)
  })

  test('a family that is added has a key of its own', async () => {
    await init()
    await change({ do: 'add-publisher', family: 'audio' })
    expect((await (await device())()).families().sort()).toEqual(['audio', 'vision'])
    await expect(change({ do: 'add-publisher', family: 'audio' })).rejects.toThrow('it is there')
    await expect(change({ do: 'add-publisher', family: 'a/b' })).rejects.toThrow('"a/b"')
  })

  test('root keys in two places sign one after the other', async () => {
    await init()
    const look = await device()
    const [, second = '', third = ''] = (await keysIn('offline')).filter((name) => name.startsWith('root-'))
    const away = (name: string) => join(folder, '..', name)
    for (const name of [second, third]) await rename(join(folder, 'offline', name), away(name))
    await change({ do: 'rotate', what: 'timestamp' })
    expect(lines.join('\n')).toContain('1 of 2 signatures of the present root keys')
    expect((await look()).versions.root).toBe(1)
    await change({ do: 'sign-root' }, { key: [away(second)] })
    expect((await look()).versions.root).toBe(2)
    await expect(change({ do: 'sign-root' })).rejects.toThrow('there is no "root-draft.json"')
  })

  test('what a thief of the registry has slipped into the metadata is not signed along', async () => {
    await init()
    const file = join(folder, 'registry/tuf/1.targets.json')
    const json = JSON.parse(await readFile(file, 'utf8')) as {
      signed: { delegations: { roles: { name: string }[] } }
    }
    for (const role of json.signed.delegations.roles) role.name = 'thief'
    await writeFile(file, JSON.stringify(json))
    await expect(change({ do: 'add-publisher', family: 'audio' })).rejects.toThrow(
      'Cannot take the targets metadata',
    )
    expect(await readdir(join(folder, 'registry/tuf'))).not.toContain('2.targets.json')
  })

  test('without the key that it takes, it says which', async () => {
    await init()
    for (const name of await keysIn('offline')) await rm(join(folder, 'offline', name))
    await expect(change({ do: 'rotate', what: 'director' })).rejects.toThrow(
      /expected the key [0-9a-f]{8}; give its file with --key/,
    )
    await expect(change({ do: 'rotate', what: 'nothing' })).rejects.toThrow('or a family')
  })
})
