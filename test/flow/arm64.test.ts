/**
 * A Jetson Orin Nano that is not there, under QEMU: the Arm binary finds what board it is on and the library for it, is
 * enrolled, and gets over MQTT what the x86-64 binary has answered for; what is not fit is refused or taken back.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { WORKING } from '../../src/ota/machine.ts'
import { BOARDS } from '../config/boards.ts'
import {
  BINARY,
  cleanEnvironment,
  createFolder,
  MODELS,
  type Running,
  readLog,
  runToEnd,
  startServing,
} from '../kit/binary.ts'
import { armProcessors, type Emulated, emulate, NOT_EMULATED } from '../kit/emulated.ts'
import { golden, goldenFiles } from '../kit/golden.ts'
import { Random } from '../kit/random.ts'
import { floats, inferBinary, tensorOf } from '../kit/v2.ts'
import type { Version } from '../registry/publish.ts'
import { type Device, eventually, Fleet, glanceAt, POLICY, startUp } from './fleet.ts'
import { Middleman } from './middleman.ts'

// QEMU takes ten times as long for everything, and a process as many seconds as it takes tenths of them.
const SLOWNESS = 4
setDefaultTimeout(400_000)

const MODEL = 'vision/text-orientation'
const NAME = 'orin-01'
const ROOT = join(import.meta.dir, '../..')
const EMBEDDED_ARM64 = 'node_modules/onnxruntime-node/bin/napi-v6/linux/arm64/libonnxruntime.so.1'
const SHAPE = [1, 3, 48, 192] as const

describe.skipIf(NOT_EMULATED.length > 0)('a Jetson under QEMU', () => {
  let folder: Awaited<ReturnType<typeof createFolder>>
  let emulated: Emulated
  let fleet: Fleet
  let device: Device
  let up: Running | undefined
  let examined: ReturnType<typeof runToEnd>
  /** Where the profile of the board has the library of JetPack 6, below this test's folder. */
  let library: string
  let settings: string
  /** What the model is asked, and what the x86-64 binary answers. */
  let image: Float32Array<ArrayBuffer>
  let expected: readonly number[]

  beforeAll(async () => {
    folder = await createFolder()
    const board = BOARDS.find(({ profile }) => profile === 'jetson-orin-nano-8gb')
    emulated = await emulate(folder.path, {
      ...board?.files,
      // No more of them than this machine has: Bun holds them against /proc/stat.
      'proc/cpuinfo': armProcessors(availableParallelism(), '0xd42'),
      'proc/meminfo': 'MemTotal: 7864320 kB\nMemFree: 5000000 kB\nMemAvailable: 6000000 kB\n',
    })
    settings = await writeProfile()
    examined = examine()
    fleet = await Fleet.start(folder.path)
    const random = new Random(6)
    image = Float32Array.from({ length: 3 * 48 * 192 }, () => 2 * random.next() - 1)
    expected = await answerOfX64()
    const files = await filesOf(expected)
    await fleet.publish(version(1, files))
    await fleet.publish(version(2, await filesOf(expected.toReversed())))
    await fleet.publish(version(3, { ...files, notes: new TextEncoder().encode('other bytes') }))
  })

  afterAll(async () => {
    await up?.stop('SIGKILL')
    await fleet.registry.stop()
    await emulated.close()
    await folder.remove()
  })

  /** The board's own profile, but for /opt being elsewhere, and a library there; gives the settings that name it. */
  async function writeProfile(): Promise<string> {
    library = join(folder.path, 'opt/onnxruntime/jetpack6/lib/libonnxruntime.so')
    await mkdir(join(library, '..'), { recursive: true })
    await copyFile(join(ROOT, EMBEDDED_ARM64), library)
    const text = await readFile(join(ROOT, 'firmware-profiles/jetson-orin-nano-8gb.toml'), 'utf8')
    const moved = text
      .replaceAll('"/opt/', `"${folder.path}/opt/`)
      .replace('name = "jetson-orin-nano-8gb"', 'name = "orin-nano-of-acme"')
      .replace('weight = 22', 'weight = 522')
    await Bun.write(join(folder.path, 'profiles/acme.toml'), moved)
    return `[profile]\nfolder = "${folder.path}/profiles"\n`
  }

  async function examine() {
    const home = join(folder.path, 'doctor')
    await Bun.write(join(home, 'config.toml'), settings)
    return await runToEnd(home, {
      command: [emulated.program, 'doctor', '--config', join(home, 'config.toml')],
      env: cleanEnvironment(home),
    })
  }

  async function answerOfX64(): Promise<readonly number[]> {
    const home = join(folder.path, 'x64')
    await mkdir(home)
    const native = await startServing(home, { command: [BINARY, 'serve', '--models', MODELS, '--port', '0'] })
    try {
      return await ask(native.url)
    } finally {
      await native.stop()
    }
  }

  async function ask(url: string | undefined): Promise<readonly number[]> {
    const outputs = await inferBinary(url ?? '', 'text-orientation', [
      tensorOf('x', 'FP32', { shape: SHAPE, data: image }),
    ])
    return [...floats(outputs.get('softmax_0.tmp_0'))]
  }

  async function expectServed(): Promise<void> {
    const answer = await ask(up?.url)
    for (const [index, value] of expected.entries())
      expect(Math.abs((answer[index] ?? Number.NaN) - value)).toBeLessThan(1e-4)
  }

  /** The model with a golden sample that says what it is answered. */
  async function filesOf(answer: readonly number[]): Promise<Record<string, Uint8Array>> {
    const sample = {
      inputs: [golden('x', 'FP32', SHAPE, [...image])],
      outputs: [golden('softmax_0.tmp_0', 'FP32', [1, 2], answer)],
    }
    return {
      'model.onnx': await readFile(join(MODELS, 'text-orientation/1/model.onnx')),
      ...goldenFiles([sample]),
    }
  }

  function version(release: number, { 'model.onnx': onnx, ...files }: Record<string, Uint8Array>): Version {
    return {
      model: MODEL,
      version: String(release),
      release,
      files: { ...files, [`${release}/model.onnx`]: onnx ?? new Uint8Array() },
      golden: { path: 'golden', atol_e6: 100, rtol_e6: 100 },
      hardware: ['jetson-orin-nano'],
    }
  }

  const assign = (release: number, policy: object = {}) =>
    fleet.assign(NAME, [{ model: MODEL, version: String(release), policy: { ...POLICY, ...policy } }])

  /** Where the update to a version has been, as the registry has heard it. */
  async function toldOf(release: number, last: string): Promise<string[]> {
    return await eventually(`the registry has heard of ${last}`, async () => {
      const events = (await fleet.events(NAME)).filter((event) => event.version === String(release))
      return events.at(-1)?.to === last ? events.map(({ to }) => to) : undefined
    })
  }

  test('is enrolled under the names that its board gives it', async () => {
    // Whatever it would ask over HTTP from here on, there is nobody.
    const door = new Middleman()
    const machine = { program: emulated.program, slowness: SLOWNESS }
    device = await fleet.enrol(NAME, door.standBefore(fleet.registry.url), machine)
    await door.stop()
    const enrolled = (await (await fleet.registry.ask('GET', `/v1/devices/${NAME}`)).json()) as {
      hardware: { names: string[] }
    }
    expect(enrolled.hardware.names).toEqual(
      expect.arrayContaining(['arm64', 'jetson-orin-nano-8gb', 'jetson-orin-nano', 'jetpack6', 'sm87']),
    )
  })

  test('doctor says which board it is, which JetPack, and that the library for it is taken', async () => {
    const { stdout, stderr, exitCode } = await examined
    expect([stderr, exitCode]).toEqual(['', 0])
    for (const said of [
      'arm64',
      'orin-nano-of-acme (NVIDIA Jetson Orin Nano 8 GB): the device tree says nvidia,p3768-0000+p3767-0005-super',
      'JetPack 6: brings CUDA 12.2 to 12.6 and TensorRT 8.6 to 10.3',
      '4 run threads',
      'of the memory, which the GPU shares, for all models',
      `from "${library}" (firmware profile "orin-nano-of-acme")`,
      'cuda: not available',
    ])
      expect(stdout).toContain(said)
  })

  test('a version comes over MQTT, is proven, and is served with the answers of the other binary', async () => {
    up = await startUp(device, `${settings}[registry]\ntransports = ["mqtt"]\n`)
    await assign(1)
    await fleet.ended(device, MODEL, { version: '1', state: 'committed' })
    await expectServed()
    expect(await toldOf(1, 'committed')).toEqual([
      ...WORKING.filter((state) => state !== 'revert'),
      'committed',
    ])
    const log = (await readLog(device.home)).split('\n').filter((line) => line.startsWith('{'))
    const entries = log.map((line) => JSON.parse(line) as object)
    expect(entries).toContainEqual(
      expect.objectContaining({ event: 'app.profile', profile: 'orin-nano-of-acme', jetpack: '6', library }),
    )
    expect(entries).toContainEqual(
      expect.objectContaining({ event: 'app.providers_missing', missing: ['cuda'] }),
    )
  })

  test('one that does not answer its golden sample is refused, and the good one serves on', async () => {
    await assign(2)
    const status = await fleet.ended(device, MODEL, { version: '2', state: 'rejected' })
    expect(status.models[0]).toMatchObject({
      running: { version: '1' },
      update: {
        code: 'golden_failed',
        reason: expect.stringContaining('golden sample 0: output "softmax_0.tmp_0"'),
      },
    })
    expect(await toldOf(2, 'rejected')).not.toContain('activate')
    await expectServed()
  })

  test('one that the process does not survive is taken back, and the one before serves again', async () => {
    await assign(3, { observe_seconds: 600 })
    const update = async () => (await glanceAt(device))?.models[0]?.update
    const isObserved = async () => {
      const { state, version: of, reason } = (await update()) ?? {}
      if (of === '3' && reason !== '') throw new Error(`It is ${state}: ${reason}`)
      return of === '3' && state === 'observe'
    }
    await eventually('it is observed', isObserved, device.machine)
    await expectServed()
    // As by the kernel where memory ends: what else is sent to it, QEMU and the program below it may catch.
    process.kill(await processOf('serve'), 'SIGKILL')
    const status = await fleet.ended(device, MODEL, { version: '3', state: 'reverted' })
    expect(status.models[0]).toMatchObject({ running: { version: '1' } })
    // Where the machine has much else to do, QEMU takes longer to start it again than a version may be silent.
    expect(['crashed', 'not_serving']).toContain(status.models[0]?.update?.code ?? '')
    await eventually('it is served again', () => ask(up?.url).catch(() => undefined), device.machine)
    await expectServed()
    expect((await toldOf(3, 'reverted')).slice(-2)).toEqual(['revert', 'reverted'])
    const known = (await (await fleet.registry.ask('GET', `/v1/devices/${NAME}`)).json()) as {
      state: { models: { running: object }[] }
    }
    expect(known.state.models[0]).toMatchObject({ running: { version: '1' } })
  })

  test('it ends as it should', async () => {
    expect(await up?.stop()).toBe(0)
  })

  async function processOf(command: string): Promise<number> {
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid)) continue
      const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
      if (words.includes(emulated.prefix) && words.includes(command)) return Number(pid)
    }
    throw new Error(`No process "${command}" of ${emulated.prefix}`)
  }
})
