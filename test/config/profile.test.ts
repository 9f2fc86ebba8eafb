/** Which profile a board gets, from what it says of itself. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { z } from 'zod'
import { Profile } from '../../src/config/profile.ts'
import { chooseProfile, SAFE_PROFILE, scoreOf } from '../../src/config/profile-choice.ts'
import { type BoardFacts, readBoardFacts } from '../../src/config/profile-facts.ts'
import { BUILT_IN } from '../../src/config/profile-list.ts'
import { parseToml } from '../../src/config/toml.ts'
import { SEED } from '../kit/seed.ts'
import { armCpu, BOARDS, type Board, RELEASES, x64, zeros } from './boards.ts'

const folder = await mkdtemp(join(tmpdir(), 'limpet-test-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

let count = 0
async function recognise({ architecture, files }: Pick<Board, 'architecture' | 'files'>, wanted?: string) {
  const root = join(folder, String(count++))
  await mkdir(root)
  for (const [path, text] of Object.entries(files)) await Bun.write(join(root, path), text)
  return chooseProfile(readBoardFacts(root, architecture), BUILT_IN, wanted)
}

describe('recognition', () => {
  test.each(BOARDS.map((board) => [board.profile, board] as const))('%s', async (_, board) => {
    const { profile, generation, unknown, reason, score } = await recognise(board)
    expect({ name: profile.name, jetpack: generation?.jetpack, unknown }).toEqual({
      name: board.profile,
      jetpack: board.jetpack,
      unknown: [],
    })
    expect(reason).toContain(`the architecture is ${board.architecture}`)
    expect(score).toBeGreaterThan(0)
  })

  test('is shown for every profile there is', () => {
    const shown = new Set(BOARDS.map(({ profile }) => profile))
    expect(BUILT_IN.map(({ name }) => name).filter((name) => !shown.has(name))).toEqual([SAFE_PROFILE])
  })

  test('no two profiles have a score in common', () => {
    const scores = BUILT_IN.flatMap(({ match }) => match.map(scoreOf))
    expect(scores.length).toBeGreaterThan(BUILT_IN.length)
    expect(new Set(scores).size).toBe(scores.length)
  })

  test('of two kinds of GPU in one machine the newer counts', async () => {
    const both = x64('', [
      ['030200', '10de:26b9'],
      ['030200', '10de:20b5'],
    ])
    expect((await recognise(both)).profile.name).toBe('x64-nvidia-sm89')
  })

  test.each([
    ['jetson-orin', RELEASES.r36, armCpu('0x41', '0xd42', 8)],
    ['jetson-xavier', RELEASES.r35, armCpu('0x4e', '0x004', 6)],
    ['jetson-agx-thor', RELEASES.r38, armCpu('0x41', '0xd83', 14)],
  ])('%s in a container, where there is no device tree', async (name, release, cpu) => {
    const files = { 'etc/nv_tegra_release': release, 'proc/cpuinfo': cpu }
    expect((await recognise({ architecture: 'arm64', files })).profile.name).toBe(name)
  })
})

describe('what no profile knows is told, and gets safe defaults', () => {
  test('a processor', async () => {
    const choice = chooseProfile(readBoardFacts(join(folder, 'nowhere'), 'riscv64'), BUILT_IN, undefined)
    expect(choice.profile.name).toBe(SAFE_PROFILE)
    expect(choice.profile.runtime.providers).toEqual([{ name: 'cpu', options: {} }])
    expect(choice.unknown).toEqual(['the processor riscv64'])
    expect(choice.reason).toContain('riscv64')
  })

  test('a GPU of NVIDIA', async () => {
    const { profile, unknown } = await recognise(x64('', [['030000', '10de:ffff']]))
    expect({ name: profile.name, unknown }).toEqual({ name: 'x64', unknown: ['the NVIDIA GPU 10de:ffff'] })
  })

  test('a board of NVIDIA', async () => {
    const files = { 'proc/device-tree/compatible': zeros('nvidia,p9999', 'nvidia,tegra999') }
    const { profile, unknown } = await recognise({ architecture: 'arm64', files })
    expect(profile.name).toBe('arm64')
    expect(unknown).toEqual(['the NVIDIA board "nvidia,p9999"'])
  })

  test('a release of Linux for Tegra', async () => {
    const files = {
      'proc/device-tree/compatible': zeros('nvidia,p3767-0000', 'nvidia,tegra234'),
      'etc/nv_tegra_release': '# R99 (release), REVISION: 1.0, GCID: 1\n',
    }
    const { profile, generation, unknown } = await recognise({ architecture: 'arm64', files })
    expect(profile.name).toBe('jetson-orin-nx-16gb')
    expect({ generation, unknown }).toEqual({ generation: undefined, unknown: ['Linux for Tegra 99.1.0'] })
  })
})

test('a person may say otherwise, by a name that there is', async () => {
  const { profile, reason } = await recognise(x64('', []), 'raspberry-pi-5')
  expect({ name: profile.name, reason }).toEqual({
    name: 'raspberry-pi-5',
    reason: 'profile.name in the config',
  })
  await expect(recognise(x64('', []), 'rock-5')).rejects.toThrow(
    /no such profile, expected one of arm64, jetson-/,
  )
})

test('whatever a board says, it gets one profile, always the same one', () => {
  const known = BOARDS.flatMap(({ files }) => Object.values(files)).flatMap((text) => text.split(/[\0\s]/))
  const words = fc.array(fc.oneof(fc.string(), fc.constantFrom(...known)), { maxLength: 8 })
  const facts: fc.Arbitrary<BoardFacts> = fc.record({
    architecture: fc.oneof(fc.constantFrom('x64', 'arm64'), fc.string()),
    model: fc.string(),
    compatible: words,
    l4t: fc.option(fc.record({ major: fc.integer(), revision: fc.string() }), { nil: undefined }),
    gpus: fc.array(fc.oneof(fc.string(), fc.constantFrom('10de:26b9', '10de:', ':', '10de:zzzz'))),
    cpus: words,
    memoryBytes: fc.double(),
  })
  const property = fc.property(facts, (of) => {
    const choice = chooseProfile(of, BUILT_IN, undefined)
    expect(choice.reason).not.toBe('')
    expect(chooseProfile(structuredClone(of), [...BUILT_IN].reverse(), undefined)).toEqual(choice)
  })
  fc.assert(property, { seed: SEED, numRuns: 2000 })
})

test('files full of anything are facts that are not known', async () => {
  const paths = [...new Set(BOARDS.flatMap(({ files }) => Object.keys(files)))]
  const property = fc.asyncProperty(
    fc.array(fc.tuple(fc.constantFrom(...paths), fc.uint8Array({ maxLength: 200 })), { maxLength: 6 }),
    async (files) => {
      const root = join(folder, String(count++))
      for (const [path, bytes] of files) await Bun.write(join(root, path), bytes)
      expect(chooseProfile(readBoardFacts(root, 'arm64'), BUILT_IN, undefined).profile.name).toBe('arm64')
    },
  )
  await fc.assert(property, { seed: SEED, numRuns: 100 })
})

test('a folder where a file should be, and a file without an end, stop nothing', () => {
  expect(readBoardFacts('/dev', 'x64')).toEqual({
    architecture: 'x64',
    model: '',
    compatible: [],
    l4t: undefined,
    gpus: [],
    cpus: [],
    memoryBytes: 0,
  })
})

describe('a profile that is wrong is refused, with every mistake', () => {
  test.each([
    ['colour = "red"', 'colour'],
    ['hardware = ["SM 87"]', 'hardware'],
    ['[[match]]\narchitecture = "mips"', 'match[0].architecture'],
    ['[[match]]\narchitecture = "x64"\npci = ["10DE:1"]', 'match[0].pci[0]'],
    ['[[match]]\narchitecture = "x64"\nweight = 1000', 'match[0].weight'],
    ['[memory]\nshare_max = 1.5', 'memory.share_max'],
    ['[engine_cache]\npolicy = "maybe"', 'engine_cache.policy'],
  ])('%s', (text, says) => {
    const whole = `name = "a"\ntitle = "A"\n${text}\n[runtime]\nlibraries = ["here.so"]\nproviders = []`
    const parse = () => parseToml(Profile, { path: 'a.toml', text: whole })
    for (const words of [says, 'runtime.libraries[0]', 'runtime.providers']) expect(parse).toThrow(words)
  })
})

test('a fault of the schema itself is not taken for one of the file', () => {
  const broken = z.unknown().transform(() => {
    throw new Error('the schema is wrong')
  })
  expect(() => parseToml(broken, { path: 'a.toml', text: '' })).toThrow('the schema is wrong')
})
