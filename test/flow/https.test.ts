/** A registry whose certificate is of the operator's own authority: a device, a publisher and an operator over it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, MODELS, type Running, runToEnd } from '../kit/binary.ts'
import { type RunningRegistry, startRegistry } from '../kit/registry.ts'
import { type Device, eventually, glanceAt, startUp } from './fleet.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(240_000)

const OPENSSL = Bun.which('openssl', { PATH: '/usr/bin:/bin' })
const WITHOUT = OPENSSL === null ? ' (skipped: openssl is not installed)' : ''
const folder = await createFolder()
const at = (name: string) => join(folder.path, name)

describe.skipIf(OPENSSL === null)(`over HTTPS and MQTT over TLS${WITHOUT}`, () => {
  let registry: RunningRegistry
  let up: Running | undefined

  beforeAll(async () => {
    await openssl(
      'req',
      '-x509',
      '-newkey',
      'ed25519',
      '-nodes',
      '-subj',
      '/CN=ours',
      '-days',
      '2',
      ...made('ours'),
    )
    await openssl('req', '-newkey', 'ed25519', '-nodes', '-subj', '/CN=registry', ...request('registry'))
    await Bun.write(at('registry.ext'), 'subjectAltName=IP:127.0.0.1\n')
    const signer = [
      '-CA',
      'ours.crt',
      '-CAkey',
      'ours.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      'registry.ext',
    ]
    await openssl('x509', '-req', '-in', 'registry.csr', '-out', 'registry.crt', ...signer)
    const pair = `cert_file = ${JSON.stringify(at('registry.crt'))}\nkey_file = ${JSON.stringify(at('registry.key'))}\n`
    await Bun.write(at('registry.toml'), `[http]\n${pair}[mqtt]\n${pair}`)
    registry = await startRegistry(folder.path, { args: ['--config', at('registry.toml')] })
    await cp(join(MODELS, 'simple'), at('simple'), { recursive: true, dereference: true })
  })
  afterAll(async () => {
    await up?.stop()
    await registry?.stop()
    await folder.remove()
  })

  async function openssl(...args: string[]): Promise<void> {
    const options = { cwd: folder.path, stdout: 'ignore', stderr: 'pipe' } as const
    const child = Bun.spawn([OPENSSL ?? 'openssl', ...args], options)
    if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text())
  }
  const made = (name: string) => ['-keyout', `${name}.key`, '-out', `${name}.crt`]
  const request = (name: string) => ['-keyout', `${name}.key`, '-out', `${name}.csr`]

  const run = (...args: string[]) => runToEnd(folder.path, { command: [BINARY, ...args] })
  const key = () => ['--api-key-file', join(registry.state, 'admin.key')]
  const trusting = () => ['--registry', registry.url, ...key(), '--ca-file', 'ours.crt']

  test('whoever does not know the authority gets no further, and is told why', async () => {
    expect([registry.url, registry.mqttUrl]).toEqual([
      expect.stringMatching(/^https:/),
      expect.stringMatching(/^mqtts:/),
    ])
    const { exitCode, stderr } = await run(
      'token',
      '--registry',
      registry.url,
      ...key(),
      '--ca-file',
      'ours.key',
    )
    expect([exitCode, stderr]).toEqual([78, expect.stringContaining('expected a certificate as PEM')])
    const stranger = await run('enrol', '--registry', registry.url, '--token', 'le_none')
    expect(stranger.exitCode).not.toBe(0)
    expect(stranger.stderr).toMatch(/certificate/i)
  })

  test('a version is pushed, assigned, fetched by a device and served', async () => {
    const publishers = join(registry.state, 'development-keys/publishers')
    const publisher = (await readdir(publishers)).find((name) => name.startsWith('vision-')) ?? ''
    const signing = ['--family', 'vision', '--key', join(publishers, publisher)]
    const root = ['--root', join(registry.state, 'development-keys/root.json')]
    const pushed = await run('model', 'push', 'simple', ...signing, ...trusting(), ...root)
    expect([pushed.exitCode, pushed.stderr]).toEqual([0, ''])

    const answer = await run('token', ...trusting(), '--json')
    const { token } = JSON.parse(answer.stdout) as { token: string }
    const device: Device = { name: 'cam-01', home: at('cam-01'), state: at('cam-01/state') }
    const settings = `[registry]\nca_file = ${JSON.stringify(at('ours.crt'))}\n`
    await Bun.write(join(device.home, 'enrol.toml'), settings)
    const enrolled = await runToEnd(device.home, {
      command: [
        ...[BINARY, 'enrol', '--config', 'enrol.toml', '--device', 'cam-01'],
        ...['--registry', registry.url, '--token', token],
      ],
    })
    expect([enrolled.exitCode, enrolled.stderr]).toEqual([0, ''])
    up = await startUp(device, settings)
    const assigned = await run('assign', 'cam-01', 'vision/simple@1', ...trusting())
    expect([assigned.exitCode, assigned.stderr]).toEqual([0, ''])
    // What its pointer leads to is loaded a moment later.
    await eventually(
      'it serves',
      async () => (await fetch(`${up?.url}/v2/models/simple/ready`)).status === 200,
    )
    expect((await glanceAt(device))?.models).toMatchObject([{ running: { version: '1' } }])
    const list = await run('device', 'list', ...trusting())
    expect(list.stdout).toContain('cam-01')
  })
})
