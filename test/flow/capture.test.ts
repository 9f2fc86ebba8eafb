/** Requests that a device keeps when it is asked to, brought to the registry, and asked again. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, runToEnd } from '../kit/binary.ts'
import { type Device, eventually, Fleet, glanceAt, startUp } from './fleet.ts'
import { askScale, scaling } from './versions.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(120_000)

const folder = await createFolder()
let fleet: Fleet
let device: Device
let up: Running | undefined

const withConfig = (release: number, config: string) => {
  const { files, ...version } = scaling(release)
  return { ...version, files: { ...files, 'config.toml': new TextEncoder().encode(config) } }
}

beforeAll(async () => {
  fleet = await Fleet.start(folder.path)
  device = await fleet.enrol('cam-01')
  up = await startUp(device)
  await fleet.publish(scaling(1))
  await fleet.publish(withConfig(2, '[capture]\non_failure = true\n[drift]\npercent = 100\n'))
  await serve('1')
})

afterAll(async () => {
  expect(await up?.stop()).toBe(0)
  expect(await fleet.registry.stop()).toBe(0)
  await folder.remove()
})

async function serve(version: string): Promise<void> {
  await fleet.assign('cam-01', [{ model: 'vision/scale', version }])
  await fleet.ended(device, 'vision/scale', { version, state: 'committed' })
}

async function capture(...given: readonly string[]) {
  const { stdout, stderr, exitCode } = await runToEnd(folder.path, {
    command: [
      ...[BINARY, 'device', 'command', 'cam-01', 'capture', 'model=vision/scale', ...given, '--json'],
      ...['--registry', fleet.registry.url, '--api-key-file', join(fleet.registry.state, 'admin.key')],
    ],
  })
  if (stdout === '') throw new Error(stderr)
  return {
    ended: JSON.parse(stdout) as { state: string; code: string; reason: string; result: object },
    exitCode,
  }
}

async function replay(file: string): Promise<{ list: Record<string, unknown>[]; exitCode: number }> {
  const { stdout, exitCode } = await runToEnd(folder.path, {
    command: [BINARY, 'replay', file, '--url', up?.url ?? '', '--json'],
  })
  return { list: JSON.parse(stdout) as Record<string, unknown>[], exitCode }
}

/** An input that the model does not have. */
async function askWrongly(): Promise<number> {
  const input = { name: 'INPUT1', datatype: 'FP32', shape: [1], data: [1] }
  const body = JSON.stringify({ inputs: [input] })
  return (await fetch(`${up?.url}/v2/models/scale/infer`, { method: 'POST', body })).status
}

const metric = async (name: string) => {
  const text = await (await fetch(`${up?.url}/metrics`)).text()
  return new RegExp(`^${name.replaceAll(/[{}]/g, '\\$&')} (\\S+)$`, 'm').exec(text)?.[1]
}

test('nothing is kept unasked', async () => {
  await askScale(up?.url ?? '')
  expect(await askWrongly()).toBe(400)
  expect((await capture('action=status')).ended).toMatchObject({ state: 'done', result: { model: 'scale' } })
  expect((await capture('action=status')).ended.result).not.toHaveProperty('bytes')
  const nothing = await capture('action=upload')
  expect([nothing.exitCode, nothing.ended]).toMatchObject([1, { state: 'failed', code: 'not_found' }])
  expect(await stat(join(device.state, 'capture')).catch(() => undefined)).toBeUndefined()
})

test('asked from afar, it keeps what comes and what fails, brings it, stops, and the same is answered again', async () => {
  const started = await capture('action=start', 'percent=100', 'seconds=600')
  expect(started.ended).toMatchObject({
    state: 'done',
    result: { percent: 100, on_failure: true, model: 'scale' },
  })
  for (let times = 0; times < 3; times += 1) expect(await askScale(up?.url ?? '')).toBe('1 times 1')
  expect(await askWrongly()).toBe(400)
  const out = join(folder.path, 'captured.gz')
  const { ended, exitCode } = await capture('action=upload', '--out', out)
  expect([exitCode, ended]).toMatchObject([
    0,
    {
      state: 'done',
      result: { records: 4, captured: { sample: 3, failure: 1 }, attachment: { at: 'upload' } },
    },
  ])
  // What is asked again would be kept again.
  expect((await capture('action=stop')).ended).toMatchObject({
    state: 'done',
    result: { percent: 0, on_failure: false },
  })
  const { list, exitCode: code } = await replay(out)
  expect(code).toBe(0)
  expect(list.slice(0, 3)).toEqual(
    Array(3).fill(
      expect.objectContaining({
        model: 'scale',
        version: '1',
        reason: 'sample',
        status: 200,
        difference_max: 0,
      }),
    ),
  )
  expect(list[3]).toMatchObject({ reason: 'failure', error: { code: 'input_invalid' }, status: 400 })
  expect((await capture('action=status')).ended.result).toMatchObject({ captured: { sample: 3, failure: 1 } })
  expect(await metric('limpet_capture_records_total{model="scale",reason="sample"}')).toBe('3')
  expect(Number(await metric('limpet_capture_bytes{model="scale"}'))).toBeGreaterThan(0)
})

test('the doctor says what is kept, and only the owner of the folder can read it', async () => {
  const { stdout } = await runToEnd(device.home, { command: [BINARY, 'doctor'] })
  expect(stdout).toMatch(/^capture +ok +requests of scale take 0\.0 MB, at most 268\.4 MB$/m)
  expect(stdout).toContain('scale: 0 % of its requests are kept; 3 and 1 since the start')
  expect((await stat(join(device.state, 'capture/scale'))).mode & 0o077).toBe(0)
})

test('whoever reaches the device by its port cannot turn it on', async () => {
  for (const method of ['GET', 'POST']) {
    const { status } = await fetch(`${up?.url}/limpet/capture`, { method })
    expect(status).toBe(404)
  }
})

test('a version whose config asks for it keeps what fails, and another one gives other answers', async () => {
  expect(await up?.stop()).toBe(0)
  up = await startUp(device, '[health]\nsample_seconds = 0.2\npoints_seconds = 10\n')
  await serve('2')
  await askScale(up.url)
  expect(await askWrongly()).toBe(400)
  const out = join(folder.path, 'both.gz')
  expect((await capture('action=upload', '--out', out)).ended).toMatchObject({
    result: { records: 5, captured: { sample: 0, failure: 1 } },
  })
  const { list } = await replay(out)
  // [1, 10] times 1 then, times 2 now.
  expect(list.map(({ version, difference_max }) => [version, difference_max])).toEqual([
    ...Array(3).fill(['1', 10]),
    ['1', null],
    ['2', null],
  ])
})

test('what its numbers are like is among what the device measures, and kept at the registry', async () => {
  // Each look at the device is after the one before: the second has seen what was asked before the first.
  for (let looks = 0; looks < 2; looks += 1) {
    const askedMs = Date.now()
    await askScale(up?.url ?? '')
    await eventually('the agent has seen it', async () => {
      const last = (await glanceAt(device))?.models[0]?.last_inference
      return Date.parse(last ?? '') >= askedMs
    })
  }
  // What it has not put away yet it does when it goes, and sends it when it is back.
  expect(await up?.stop()).toBe(0)
  up = await startUp(device)
  const means = await eventually('it has come', async () => {
    const answer = await fleet.registry.ask('GET', '/v1/devices/cam-01/telemetry?names=tensor_mean')
    const { series } = (await answer.json()) as {
      series: { labels: Record<string, string>; points: number[][] }[]
    }
    return series.length < 2 ? undefined : series
  })
  const labels = { model: 'scale', version: '2' }
  expect(means.map((one) => one.labels)).toEqual([
    { ...labels, direction: 'input', tensor: 'INPUT0' },
    { ...labels, direction: 'output', tensor: 'OUTPUT0' },
  ])
  // [1, 10] comes in, and twice of it goes out; golden samples of [1, 2, -3] may have come in as well.
  expect(means.map(({ points }) => Math.max(...points.map(([, , , most = 0]) => most)))).toEqual([5.5, 11])
})

test('a model that is not served is named', async () => {
  const unknown = await capture('action=start', 'model=vision/none')
  expect(unknown.ended.reason).toContain('no such model is served')
})

test('a device that does not allow it says so', async () => {
  expect(await up?.stop()).toBe(0)
  up = await startUp(device, '[capture]\nallowed = false\n')
  const refused = await capture('action=start')
  expect([refused.exitCode, refused.ended]).toMatchObject([
    1,
    {
      state: 'failed',
      reason: expect.stringContaining('capture.allowed is false in the config of this device'),
    },
  ])
  expect(await askWrongly()).toBe(400)
  expect((await capture('action=status')).ended.result).toMatchObject({ captured: { sample: 0, failure: 0 } })
})
