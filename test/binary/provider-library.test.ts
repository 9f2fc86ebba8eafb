/** The compiled binary with a plug-in provider by its path: served, probed, told of by doctor, and every way it cannot be had. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BINARY, createFolder, readLog, runToEnd, startServing, writeModel } from '../kit/binary.ts'
import { buildFakeProvider, WITHOUT_COMPILER } from '../kit/fake-provider/build.ts'
import { golden, writeGolden } from '../kit/golden.ts'
import * as zoo from '../kit/model-zoo.ts'
import { inferBinary, tensorOf } from '../kit/v2.ts'

const folder = await createFolder()
const here = (name: string) => join(folder.path, name)
afterAll(folder.remove)

const WHOLE = here('whole/libfake_provider.so')
const FUTURE = here('future/libfake_provider.so')
const OLD_LIBRARY = join(
  dirname(require.resolve('onnxruntime-node-old/package.json')),
  `bin/napi-v3/linux/${process.arch}/libonnxruntime.so.1.16.3`,
)

/** A profile names places to try, of which the first is not there. */
const PROFILE = `
name = "fake-box"
title = "Box with a fake accelerator"
match = [{ architecture = "${process.arch}", weight = 999 }]
[runtime]
providers = ["fake", "cpu"]
provider_libraries = [
  { name = "fake", path = "${here('nowhere.so')}" },
  { name = "fake", path = "${WHOLE}" },
  { name = "other", path = "${here('nowhere.so')}" },
]
`

const CONFIGS = {
  profiled: `[profile]\nfolder = "${here('profiles')}"\nfacts_root = "${here('no-facts')}"`,
  named: `[runtime]
providers = ["future", "absent", { name = "fake", options = { precision = "FP16" } }, "cpu"]
provider_libraries = [
  { name = "fake", path = "${WHOLE}" },
  { name = "future", path = "${FUTURE}" },
  { name = "absent", path = "${here('nowhere.so')}" },
]`,
  old: `[runtime]
library = "${OLD_LIBRARY}"
providers = ["fake", "cpu"]
provider_libraries = [{ name = "fake", path = "${WHOLE}" }]`,
}

const configAt = (name: keyof typeof CONFIGS) => ['--config', here(`${name}.toml`)]

beforeAll(async () => {
  for (const [name, text] of Object.entries(CONFIGS)) await writeFile(here(`${name}.toml`), text)
  await Bun.write(here('profiles/fake.toml'), PROFILE)
  await writeModel(here('models'), 'sums', { onnx: zoo.simple() })
  const own = '[session]\nproviders = [{ name = "fake", options = { precision = "INT8", level = 3 } }]'
  await writeModel(here('models'), 'own', { onnx: zoo.simple(), config: own })
})

interface Report {
  readonly checks: readonly { readonly topic: string; readonly status: string; readonly text: string }[]
}

async function examine(name: keyof typeof CONFIGS, ...args: string[]) {
  const command = [BINARY, 'doctor', '--json', ...configAt(name), ...args]
  const { stdout, exitCode } = await runToEnd(folder.path, { command })
  const { checks } = JSON.parse(stdout) as Report
  const said = checks.filter(({ topic }) => topic === 'providers' || topic === 'models')
  return { exitCode, said: said.map(({ status, text }) => `${status} ${text}`) }
}

/** What a server makes of one request, with what it says of itself. */
async function serve(name: keyof typeof CONFIGS) {
  const home = here(`home-${name}`)
  await mkdir(home)
  const command = [BINARY, 'serve', '--models', here('models'), '--port', '0', ...configAt(name)]
  const server = await startServing(home, { command, env: { LIMPET_FAKE_RECORD: join(home, 'record') } })
  try {
    const row = (input: string, value: number) =>
      tensorOf(input, 'INT32', { shape: [1, 16], data: new Int32Array(16).fill(value) })
    const sums = await inferBinary(server.url, 'sums', [row('INPUT0', 40), row('INPUT1', 2)])
    expect(sums.get('OUTPUT0')?.bytes.slice(0, 4)).toEqual(Uint8Array.of(42, 0, 0, 0))
    const index = (await (await fetch(`${server.url}/v2/repository/index`, { method: 'POST' })).json()) as {
      name: string
      reason: string
    }[]
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    const record = await readFile(join(home, 'record'), 'utf8').catch(() => '')
    return {
      reasonOf: (model: string) => index.find((one) => one.name === model)?.reason ?? 'none',
      metrics,
      record: record.trimEnd().split('\n'),
      log: await readLog(home),
    }
  } finally {
    expect(await server.stop()).toBe(0)
  }
}

describe.skipIf(WITHOUT_COMPILER !== '')(`a provider library${WITHOUT_COMPILER}`, () => {
  beforeAll(async () => {
    await buildFakeProvider(here('whole'))
    await buildFakeProvider(here('future'), { flaw: 'future api' })
  })

  test('that a profile knows the place of runs the models, with the options of each', async () => {
    const { reasonOf, metrics, record } = await serve('profiled')
    // Where all is as it was wanted there is nothing to say.
    expect(reasonOf('sums')).toBe('none')
    expect(metrics).toContain(
      'limpet_lane_provider{model="sums",version="1",provider="FakeExecutionProvider"} 1\n',
    )
    expect(metrics).not.toContain('limpet_lane_provider_refused')
    const sessions = record.filter((line) => line.startsWith('session')).sort()
    expect(sessions).toEqual(['session', 'session level=3 precision=INT8'])
    expect(record.filter((line) => line === 'run').length).toBeGreaterThan(1)
  })

  test('that a config names is told of by doctor, and those that cannot be had are bad', async () => {
    const { exitCode, said } = await examine('named', '--models', here('models'))
    expect(exitCode).toBe(1)
    expect(said).toContainEqual(
      expect.stringMatching(
        /^ok fake: FakeExecutionProvider 1\.2\.3 of Limpet's tests, from ".*"; runs on FakeExecutionProvider on cpu/,
      ),
    )
    expect(said).toContainEqual(
      expect.stringMatching(/^fault future: not available: .*built for version 999 of the API/),
    )
    expect(said).toContain(`fault absent: not available: there is no "${here('nowhere.so')}"`)
    expect(said).toContainEqual(
      expect.stringMatching(/^ok sums 1: .*, on FakeExecutionProvider, CPUExecutionProvider$/),
    )
    expect(said).toContainEqual(
      expect.stringMatching(/^note sums 1: does not run on future, which refused it: .*version 999/),
    )
  })

  test('that cannot be had is passed over by the server, and each model says so', async () => {
    const { reasonOf, metrics, record, log } = await serve('named')
    expect(reasonOf('sums')).toMatch(
      /^runs on FakeExecutionProvider, CPUExecutionProvider; future refused it: .*; absent refused it: there is no/,
    )
    expect(metrics).toContain('limpet_lane_provider_refused{model="sums",version="1",provider="absent"} 1\n')
    expect(record).toContain('session precision=FP16')
    expect(log).toContain('"event":"runtime.provider_library_unusable"')
  })

  test('runs a version that is probed', async () => {
    const command = [BINARY, 'probe', here('models/own'), ...configAt('named')]
    const { stdout, exitCode } = await runToEnd(folder.path, { command })
    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      fit: true,
      providers: ['FakeExecutionProvider', 'CPUExecutionProvider'],
      refusals: [],
    })
  })

  test('that fails on the samples of a version that is probed is told, and the version is fit without it', async () => {
    await writeGolden(here('models/own'), [
      {
        inputs: ['INPUT0', 'INPUT1'].map((name) => golden(name, 'INT32', [1, 16], Array(16).fill(2))),
        outputs: [golden('OUTPUT0', 'INT32', [1, 16], Array(16).fill(4))],
      },
    ])
    await writeFile(here('control'), 'lost')
    const command = [BINARY, 'probe', here('models/own'), ...configAt('profiled')]
    const { stdout, exitCode } = await runToEnd(folder.path, {
      command,
      env: { LIMPET_FAKE_CONTROL: here('control') },
    })
    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      fit: true,
      providers: ['CPUExecutionProvider'],
      refusals: [expect.stringMatching(/^fake failed while it ran: .*fake device lost/)],
    })
  })

  test('is beyond an old ONNX Runtime, which says so and serves', async () => {
    const why = /ONNX Runtime 1\.16\.3 takes no provider libraries: it has to be 1\.23 or newer/
    const { said } = await examine('old')
    expect(said.find((line) => line.startsWith('fault fake'))).toMatch(why)
    expect((await serve('old')).reasonOf('sums')).toMatch(why)
  })
})
