/** The binary for 64-bit Arm, under QEMU where that is installed: it starts, opens its libraries, and gives the same answers. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { cp, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BOARDS } from '../config/boards.ts'
import {
  BINARY,
  BINARY_ARM64,
  cleanEnvironment,
  createFolder,
  DATA,
  MODELS,
  type Running,
  runToEnd,
  startServing,
} from '../kit/binary.ts'
import { inferBinary, tensorOf } from '../kit/v2.ts'

const QEMU = Bun.which('qemu-aarch64-static')
/** Where Debian's cross toolchain puts the C library of the other architecture. */
const LIBRARIES = '/usr/aarch64-linux-gnu'
const missing = [
  ...(QEMU === null ? ['qemu-aarch64-static'] : []),
  ...[LIBRARIES, BINARY_ARM64].filter((path) => !existsSync(path)),
]
if (missing.length > 0) console.warn(`The Arm binary is not tested: there is no ${missing.join(', no ')}`)

/** The processor of an Arm server. ONNX Runtime looks here for what it may use, and QEMU would show it the host's. */
const CPU = [
  'BogoMIPS\t: 50.00',
  'Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp',
  'CPU implementer\t: 0x41',
  'CPU architecture: 8',
  'CPU variant\t: 0x3',
  'CPU part\t: 0xd0c',
  'CPU revision\t: 1',
]

describe.skipIf(missing.length > 0)('the Arm binary', () => {
  let folder: Awaited<ReturnType<typeof createFolder>>
  let prefix: string
  let arm: Running | undefined
  let native: Running | undefined
  const emulated = (...args: string[]) => [QEMU ?? '', '-L', prefix, BINARY_ARM64, ...args]
  const home = (name: string) => join(folder.path, name)
  /** Each has a state folder of its own: the libraries inside are not the same. */
  const environment = (name: string) => ({ env: cleanEnvironment(home(name)) })

  beforeAll(async () => {
    folder = await createFolder()
    prefix = home('prefix')
    await cp(LIBRARIES, prefix, { recursive: true, verbatimSymlinks: true })
    const processors = [0, 1].map((index) => [`processor\t: ${index}`, ...CPU, ''].join('\n'))
    await Bun.write(join(prefix, 'proc/cpuinfo'), `${processors.join('\n')}\n`)
    for (const name of ['arm', 'native']) await mkdir(home(name))
    const serve = ['serve', '--models', MODELS, '--port', '0']
    native = await startServing(home('native'), { command: [BINARY, ...serve], ...environment('native') })
    arm = await startServing(home('arm'), { command: emulated(...serve), ...environment('arm') })
  }, 60_000)

  afterAll(async () => {
    await native?.stop()
    // Has ended by itself unless a test failed.
    await arm?.stop('SIGKILL')
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
      command: emulated('doctor', '--json'),
      ...environment('arm'),
    })
    const { healthy, findings } = JSON.parse(stdout) as {
      healthy: boolean
      findings: { topic: string; verdict: string; what: string }[]
    }
    expect({ healthy, exitCode }).toEqual({ healthy: true, exitCode: 0 })
    const said = (topic: string) =>
      findings.filter((finding) => finding.topic === topic).map(({ what }) => what)
    expect(said('machine')).toEqual([expect.stringContaining('arm64')])
    expect(said('profile')[0]).toMatch(/^arm64 \(64-bit Arm\): the architecture is arm64 \(score/)
    expect(said('storage')).toEqual([expect.stringMatching(/SQLite 3\.[\d.]+ opens/)])
    expect(said('runtime')).toContainEqual(expect.stringMatching(/^ONNX Runtime [\d.]+, .*inside the binary/))
  }, 60_000)

  test('takes a Jetson for what its device tree and its release say', async () => {
    const jetson = BOARDS.find(({ profile }) => profile === 'jetson-orin-nx-16gb')
    const tree = ['proc/device-tree/model', 'proc/device-tree/compatible', 'etc/nv_tegra_release']
    for (const path of tree) await Bun.write(join(prefix, path), jetson?.files[path] ?? '')
    const { stdout, exitCode } = await runToEnd(home('arm'), {
      command: emulated('doctor'),
      ...environment('arm'),
    })
    for (const path of tree) await rm(join(prefix, path))
    expect(exitCode).toBe(0)
    expect(stdout).toContain(
      'jetson-orin-nx-16gb (NVIDIA Jetson Orin NX 16 GB): the device tree says nvidia,p3768',
    )
    expect(stdout).toContain('JetPack 5: brings CUDA 11.4')
    expect(stdout).toContain('6 run threads')
    expect(stdout).toContain('of the memory, which the GPU shares, for all models')
    expect(stdout).toContain('power mode wanted MAXN')
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
