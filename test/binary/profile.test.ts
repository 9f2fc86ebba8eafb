/** The compiled binary on boards that are not there: what it takes them for, and what it makes of that. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EMBEDDED } from '../../src/app/embedded.ts'
import { BOARDS, x64 } from '../config/boards.ts'
import {
  BINARY,
  createFolder,
  type Running,
  readLog,
  runToEnd,
  startServing,
  writeModel,
} from '../kit/binary.ts'
import * as zoo from '../kit/model-zoo.ts'

const folder = await createFolder()
const here = (name: string) => join(folder.path, name)
afterAll(folder.remove)

const OWN = `
name = "acme-box"
title = "Box of Acme"
hardware = ["acme", "sm89"]

[[match]]
architecture = "x64"
pci = ["10de:26b9"]
weight = 500

[runtime]
libraries = ["${here('nowhere/libonnxruntime.so')}", "${here('lib/libonnxruntime.so')}"]
providers = ["cuda", { name = "xnnpack", options = { intra_op_num_threads = 1 } }, "cpu"]
threads = 3

[memory]
share_max = 0.25
`

/** A config file by its name, for a board by its files. */
async function configure(name: string, files: Readonly<Record<string, string>>, more = ''): Promise<string> {
  for (const [path, text] of Object.entries(files)) await Bun.write(join(here(name), path), text)
  await writeFile(here(`${name}.toml`), `[profile]\nfacts_root = "${here(name)}"\n${more}`)
  return here(`${name}.toml`)
}

const ada = BOARDS.find(({ profile }) => profile === 'x64-nvidia-sm89')?.files ?? {}
let known: string
let own: string
let strange: string

beforeAll(async () => {
  await mkdir(here('lib'))
  await copyFile(EMBEDDED.onnxruntime.path, here('lib/libonnxruntime.so'))
  await Bun.write(here('profiles/acme.toml'), OWN)
  await Bun.write(here('clash/acme.toml'), OWN.replace('weight = 500', 'weight = 89'))
  await writeModel(here('models'), 'whole', { onnx: zoo.simple() })
  const config = '[session]\nproviders = ["tensorrt", "cpu"]'
  await writeModel(here('models'), 'wishful', { onnx: zoo.simple(), config })
  known = await configure('known', ada)
  own = await configure('own', ada, `folder = "${here('profiles')}"`)
  strange = await configure('strange', x64('', [['030000', '10de:ffff']]).files)
})

async function examine(config: string, ...args: string[]) {
  const command = [BINARY, 'doctor', '--config', config, '--json', ...args]
  const { stdout, exitCode } = await runToEnd(folder.path, { command })
  const { checks } = JSON.parse(stdout) as { checks: { topic: string; text: string }[] }
  const said = (topic: string) => checks.filter((each) => each.topic === topic).map(({ text }) => text)
  return { exitCode, said }
}

describe('doctor', () => {
  test('says what the board is, why, and what comes of it', async () => {
    const { exitCode, said } = await examine(known)
    expect(exitCode).toBe(0)
    const [what, sets, tells] = said('profile')
    expect(what).toBe(
      'x64-nvidia-sm89 (x86-64 with an NVIDIA Ada GPU (compute capability 8.9)): ' +
        'on PCI is GPU 10de:26b9, the architecture is x64 (score 9089)',
    )
    expect(sets).toMatch(/^sets: providers cuda, cpu; \d+ run threads on \d+ cores; no bound on the memory; /)
    expect(sets).toContain('hardware sm89, nvidia-gpu, x64-nvidia-sm89')
    expect(sets).toContain('; up to 16.0 GiB of what is made of models is kept; ')
    expect(tells).toBeUndefined()
  })

  test('takes the library from the place that a profile of one’s own names', async () => {
    const { said } = await examine(own, '--models', here('models'))
    expect(said('runtime')[0]).toContain(`"${here('lib/libonnxruntime.so')}" (firmware profile "acme-box")`)
    expect(said('profile')[1]).toMatch(/3 run threads on \d+ cores; at most 16\.0 GiB of the memory/)
    expect(said('models')).toContainEqual(
      expect.stringMatching(/^wishful 1: does not run on tensorrt, which refused it: /),
    )
  })

  test('says what no profile knows', async () => {
    const { said } = await examine(strange)
    expect(said('profile')[0]).toStartWith('x64 (x86-64): the architecture is x64')
    expect(said('profile')[1]).toStartWith(
      'no profile knows the NVIDIA GPU 10de:ffff: it is left to safe defaults',
    )
  })
})

describe('serve', () => {
  let server: Running | undefined
  let count = 0
  afterAll(() => server?.stop('SIGKILL'))

  async function serve(config: string) {
    const command = [BINARY, 'serve', '--models', here('models'), '--port', '0', '--config', config]
    const home = here(`home-${count++}`)
    await mkdir(home)
    server = await startServing(home, { command })
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    const log = (await readLog(home)).split('\n').filter((line) => line !== '')
    const entries = log.map((line) => JSON.parse(line) as Record<string, unknown>)
    return {
      url: server.url,
      metrics,
      entry: (event: string) => entries.find((each) => each['event'] === event),
    }
  }

  test('uses what the profile sets, and says what is missing for it', async () => {
    const { url, metrics, entry } = await serve(own)
    expect(entry('app.profile')).toMatchObject({
      profile: 'acme-box',
      library: here('lib/libonnxruntime.so'),
    })
    expect(entry('app.providers_missing')).toMatchObject({ missing: ['cuda'] })
    expect(entry('app.serving')).toMatchObject({ threads: 3 })
    for (const line of [
      'limpet_profile_info{profile="acme-box",jetpack=""} 1',
      'limpet_board_unknown 0',
      'limpet_provider_missing{provider="cuda"} 1',
      `limpet_memory_budget_bytes ${16 * 1024 ** 3}`,
      'limpet_lane_provider{model="whole",version="1",provider="CPUExecutionProvider"} 1',
      'limpet_model_nodes{model="whole",version="1",provider="CPUExecutionProvider"} 2',
      'limpet_lane_provider_refused{model="whole",version="1",provider="xnnpack"} 1',
      'limpet_lane_provider_refused{model="wishful",version="1",provider="tensorrt"} 1',
    ])
      expect(metrics).toContain(`${line}\n`)
    const index = await (await fetch(`${url}/v2/repository/index`, { method: 'POST' })).json()
    expect(index).toEqual([
      {
        name: 'whole',
        version: '1',
        state: 'READY',
        reason: expect.stringMatching(/^runs on CPUExecutionProvider; xnnpack refused it: .*was built with/),
      },
      {
        name: 'wishful',
        version: '1',
        state: 'READY',
        reason: expect.stringMatching(/^runs on CPUExecutionProvider; tensorrt refused it: /),
      },
    ])
    expect(await server?.stop()).toBe(0)
  })

  test('serves on safe defaults where it does not know the board, and says so', async () => {
    const { metrics, entry } = await serve(strange)
    expect(entry('app.board_unknown')).toMatchObject({
      unknown: ['the NVIDIA GPU 10de:ffff'],
      profile: 'x64',
    })
    expect(metrics).toContain('limpet_board_unknown 1\n')
    expect(metrics).not.toContain('limpet_provider_missing')
    expect(await server?.stop()).toBe(0)
  })

  test.each([
    ['an unknown name', 'name = "acme"', /no such profile, expected one of arm64, /],
    ['a folder that is not there', 'folder = "/nowhere"', /Cannot read profile\.folder "\/nowhere"/],
    ['two profiles with one score', `folder = "${here('clash')}"`, /"acme-box" and "x64-nvidia-sm89"/],
  ])('refuses %s', async (_, more, says) => {
    const config = await configure('refused', ada, more)
    const command = [BINARY, 'serve', '--models', here('models'), '--port', '0', '--config', config]
    const { stderr, exitCode } = await runToEnd(folder.path, { command })
    expect(exitCode).toBe(78)
    expect(stderr).toMatch(says)
  })
})

test('a device enrols under the names that its profile gives it', async () => {
  const bodies: { hardware: { names: string[]; providers: string[] } }[] = []
  const registry = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async (request) => {
      bodies.push((await request.json()) as (typeof bodies)[number])
      return Response.json({ message: 'no token of ours' }, { status: 403 })
    },
  })
  try {
    const enrol = ['enrol', '--registry', registry.url.href, '--token', 'x', '--config']
    for (const config of [known, own]) {
      const { stderr } = await runToEnd(folder.path, { command: [BINARY, ...enrol, config] })
      expect(stderr).toContain('no token of ours')
    }
  } finally {
    await registry.stop(true)
  }
  const [builtIn, ours] = bodies.map(({ hardware }) => ({
    names: hardware.names,
    providers: hardware.providers,
  }))
  expect(builtIn).toEqual({ names: ['x64', 'sm89', 'nvidia-gpu', 'x64-nvidia-sm89'], providers: ['cpu'] })
  // Only what is there is offered: CUDA would be a file beside the library.
  expect(ours).toEqual({ names: ['x64', 'acme', 'sm89', 'acme-box'], providers: ['xnnpack', 'cpu'] })
})
