/** The binary for 64-bit Arm, under QEMU where that is installed: it starts, opens its libraries, and gives the same answers. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  BINARY,
  cleanEnvironment,
  createFolder,
  DATA,
  MODELS,
  type Running,
  runToEnd,
  startServing,
} from '../kit/binary.ts'
import { armProcessors, type Emulated, emulate, NOT_EMULATED } from '../kit/emulated.ts'
import { inferBinary, tensorOf } from '../kit/v2.ts'

describe.skipIf(NOT_EMULATED.length > 0)('the Arm binary', () => {
  let folder: Awaited<ReturnType<typeof createFolder>>
  let emulated: Emulated
  let arm: Running | undefined
  let native: Running | undefined
  const home = (name: string) => join(folder.path, name)
  /** Each has a state folder of its own: the libraries inside are not the same. */
  const environment = (name: string) => ({ env: cleanEnvironment(home(name)) })

  beforeAll(async () => {
    folder = await createFolder()
    // The processor of an Arm server.
    emulated = await emulate(folder.path, { 'proc/cpuinfo': armProcessors(2, '0xd0c') })
    for (const name of ['arm', 'native']) await mkdir(home(name))
    const serve = ['serve', '--models', MODELS, '--port', '0']
    native = await startServing(home('native'), { command: [BINARY, ...serve], ...environment('native') })
    arm = await startServing(home('arm'), { command: [emulated.program, ...serve], ...environment('arm') })
  }, 60_000)

  afterAll(async () => {
    await native?.stop()
    // Has ended by itself unless a test failed.
    await arm?.stop('SIGKILL')
    await emulated.close()
    await folder.remove()
  })

  /** The same client asks both, so that the tensor is the same one. */
  async function classify(server: Running | undefined): Promise<Record<string, number>> {
    const image = join(DATA, 'label-180.png')
    const { stdout } = await runToEnd(home('native'), {
      command: [BINARY, 'infer', 'text-orientation', image, '--json', '--url', server?.url ?? ''],
      ...environment('native'),
    })
    const { runs } = JSON.parse(stdout) as {
      runs: { outputs: { scores: { label: string; score: number }[] }[] }[]
    }
    return Object.fromEntries(runs[0]?.outputs[0]?.scores.map(({ label, score }) => [label, score]) ?? [])
  }

  test('finds itself in order: its architecture, its SQLite, its ONNX Runtime', async () => {
    const { stdout, exitCode } = await runToEnd(home('arm'), {
      command: [emulated.program, 'doctor', '--json'],
      ...environment('arm'),
    })
    const { healthy, checks } = JSON.parse(stdout) as {
      healthy: boolean
      checks: { topic: string; text: string }[]
    }
    expect({ healthy, exitCode }).toEqual({ healthy: true, exitCode: 0 })
    const said = (topic: string) => checks.filter((check) => check.topic === topic).map(({ text }) => text)
    expect(said('machine')).toEqual([expect.stringContaining('arm64')])
    expect(said('profile')[0]).toMatch(/^arm64 \(64-bit Arm\): the architecture is arm64 \(score/)
    expect(said('storage')[0]).toMatch(/SQLite 3\.[\d.]+ opens/)
    expect(said('runtime')).toContainEqual(expect.stringMatching(/^ONNX Runtime [\d.]+, .*inside the binary/))
  }, 60_000)

  test('adds integers exactly', async () => {
    const a = Int32Array.from({ length: 16 }, (_, index) => index * 1_000_003)
    const b = Int32Array.from({ length: 16 }, (_, index) => -7 * index)
    const outputs = await inferBinary(arm?.url ?? '', 'simple', [
      tensorOf('INPUT0', 'INT32', { shape: [1, 16], data: a }),
      tensorOf('INPUT1', 'INT32', { shape: [1, 16], data: b }),
    ])
    const integers = (name: string) => [
      ...new Int32Array((outputs.get(name)?.bytes.slice() ?? new Uint8Array()).buffer),
    ]
    expect(integers('OUTPUT0')).toEqual([...a].map((value, index) => value + (b[index] ?? 0)))
    expect(integers('OUTPUT1')).toEqual([...a].map((value, index) => value - (b[index] ?? 0)))
  }, 60_000)

  test('classifies an image as the other binary does, to four digits', async () => {
    const [ours, theirs] = await Promise.all([arm, native].map(async (server) => await classify(server)))
    expect(Object.keys(ours ?? {}).sort()).toEqual(['0', '180'])
    expect(ours?.['180']).toBeGreaterThan(0.9)
    for (const label of ['0', '180']) {
      expect(Math.abs((ours?.[label] ?? Number.NaN) - (theirs?.[label] ?? Number.NaN))).toBeLessThan(1e-4)
    }
  }, 60_000)

  test('stops cleanly', async () => {
    expect(await arm?.stop()).toBe(0)
  }, 60_000)
})
