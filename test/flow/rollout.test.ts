/** A rollout from the command line to three real devices: to its end though the registry is killed, and one that is taken back. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { BINARY, createFolder, type Running, runToEnd } from '../kit/binary.ts'
import { type Device, eventually, Fleet, POLICY, startUp } from './fleet.ts'
import { askScale, scaling } from './versions.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(240_000)

const NAMES = ['cam-01', 'cam-02', 'cam-03']
const folder = await createFolder()
let fleet: Fleet
const devices: Device[] = []
const ups: Running[] = []

beforeAll(async () => {
  fleet = await Fleet.start(folder.path)
  for (const name of NAMES) devices.push(await fleet.enrol(name))
  for (const device of devices) ups.push(await startUp(device))
  await fleet.publish(scaling(1))
  await fleet.assign('all', [{ model: 'vision/scale', version: '1' }])
  for (const device of devices)
    await fleet.ended(device, 'vision/scale', { version: '1', state: 'committed' })
})

afterAll(async () => {
  for (const up of ups) expect(await up.stop()).toBe(0)
  expect(await fleet.registry.stop()).toBe(0)
  await folder.remove()
})

async function limpet(...args: readonly string[]) {
  const key = join(fleet.registry.state, 'admin.key')
  const command = [BINARY, ...args, '--registry', fleet.registry.url, '--api-key-file', key]
  return await runToEnd(folder.path, { command })
}

/** Of the rollout, as the registry tells it. */
async function rollout(id: string) {
  const answer = await fleet.registry.ask('GET', `/v1/rollouts/${id}`)
  return (await answer.json()) as {
    state: string
    wave: number
    waves: { committed: number }[]
    failures: { state: string; code: string; count: number }[]
    transitions: { to: string; wave: number; reason: string }[]
  }
}

const served = () => Promise.all(ups.map(({ url }) => askScale(url)))

async function terms(of: object): Promise<string> {
  const path = join(folder.path, 'rollout.json')
  await Bun.write(path, JSON.stringify(of))
  return path
}

test('of two waves, to its end, though the registry is killed in the middle', async () => {
  await fleet.publish(scaling(2))
  const file = await terms({ policy: POLICY })
  const said = [
    ...['vision/scale@2', '--file', file, '--wave', 'cam-02', '--wave', '100%'],
    ...['--soak-seconds', '3', '--success-percent', '100'],
  ]
  const planned = await limpet('rollout', 'plan', ...said)
  expect(planned.stdout).toMatch(/^3 devices in 2 waves\n {2}wave 0: 1 \(1 \S+\) {2}cam-02\n {2}wave 1: 2 /)
  const started = await limpet('rollout', 'start', ...said)
  expect([started.exitCode, started.stderr]).toEqual([0, ''])
  expect(started.stdout).toContain('r-1  vision/scale 2  running, wave 0 of 1  0 of 3 serve it')
  await eventually('the first wave soaks', async () => (await rollout('r-1')).state === 'soak')
  expect(await served()).toEqual(['1 times 1', '2 times 2', '1 times 1'])
  await fleet.restartRegistry()
  const watched = await limpet('rollout', 'watch', 'r-1')
  expect([watched.exitCode, watched.stderr]).toEqual([0, ''])
  expect(watched.stdout).toContain('done  3 of 3 serve it')
  expect(await served()).toEqual(['2 times 2', '2 times 2', '2 times 2'])
  const { transitions } = await rollout('r-1')
  expect(transitions.map(({ to, wave }) => `${to} ${wave}`)).toEqual([
    ...['running 0', 'soak 0', 'running 1', 'soak 1', 'done 1'],
  ])
  expect((await limpet('device', 'explain', 'cam-03')).stdout).toBe(
    'vision/scale: 2, because rollout r-1 has brought it\n  not 1: the assignment for all says so, but not the last word\n',
  )
})

test('a version that answers infinity where it matters: stopped, and taken back from the one that had it already', async () => {
  await fleet.publish(scaling(3))
  // What two of the devices see is more than three times of it can be told in 32 bits.
  const large = JSON.stringify({ inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [1], data: [1.5e38] }] })
  let isOver = false
  const traffic = ups.slice(1).map(async ({ url }) => {
    while (!isOver) {
      await fetch(`${url}/v2/models/scale/infer`, { method: 'POST', body: large }).then((answer) =>
        answer.text(),
      )
      await Bun.sleep(20)
    }
  })
  try {
    const file = await terms({ policy: { ...POLICY, requests_min: 5 } })
    const started = await limpet(
      ...['rollout', 'start', 'vision/scale@3', '--file', file, '--wave', 'cam-01', '--wave', '100%'],
      ...[
        '--soak-seconds',
        '1',
        '--failures-min',
        '2',
        '--failure-percent',
        '10',
        '--on-abort',
        'revert',
        '--json',
      ],
    )
    expect(JSON.parse(started.stdout)).toMatchObject({ id: 'r-2', state: 'running' })
    const watched = await limpet('rollout', 'watch', 'r-2')
    expect(watched.exitCode).toBe(1)
    expect(watched.stdout).toContain('2 rolled_back (not_finite)')
  } finally {
    isOver = true
    await Promise.all(traffic)
  }
  const { state, failures, transitions } = await rollout('r-2')
  expect(state).toBe('reverted')
  expect(failures).toMatchObject([{ state: 'rolled_back', code: 'not_finite', count: 2 }])
  expect(transitions.map(({ to }) => to)).toEqual(['running', 'soak', 'running', 'reverting', 'reverted'])
  expect(await served()).toEqual(['2 times 2', '2 times 2', '2 times 2'])
  expect((await limpet('rollout', 'list')).stdout).toMatch(
    /^r-2 {2}vision\/scale 3 {2}reverted .*\nr-1 .* done /,
  )
})

test('what cannot be is refused in words', async () => {
  const refused = async (...args: string[]) => {
    const { exitCode, stderr } = await limpet('rollout', ...args)
    return `${exitCode}: ${stderr}`
  }
  expect(await refused('start', 'vision/scale')).toContain('65: limpet: Cannot roll out "vision/scale"')
  expect(await refused('start', 'vision/scale@9')).toContain('no publisher has signed it')
  expect(await refused('start', 'vision/scale@2', '--wave', '10 %')).toContain('Cannot use the wave "10 %"')
  expect(await refused('start', 'vision/scale@2', '--selector', 'site=x')).toContain('"site" is none of id')
  expect(await refused('resume', 'r-1')).toContain('Cannot resume rollout r-1: it is done')
  expect(await refused('show', 'r-9')).toContain('Cannot find rollout "r-9"')
})
