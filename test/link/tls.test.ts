/** MQTT and HTTP with certificates on both sides. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { createFolder } from '../kit/binary.ts'
import { type DeviceLink, eventually, startDevice } from '../kit/device-link.ts'
import { enrolDevice, type RunningRegistry, startRegistry } from '../kit/registry.ts'

// Real processes on a busy machine.
setDefaultTimeout(120_000)

const OPENSSL = Bun.which('openssl', { PATH: '/usr/bin:/bin' })
const WITHOUT = OPENSSL === null ? ' (skipped: openssl is not installed)' : ''

describe.skipIf(OPENSSL === null)(`certificates${WITHOUT}`, () => {
  let folder: Awaited<ReturnType<typeof createFolder>>
  let registry: RunningRegistry
  let secret: string
  const devices: DeviceLink[] = []
  const pem = (name: string) => Bun.file(join(folder.path, name)).text()

  async function openssl(...args: string[]): Promise<void> {
    const child = Bun.spawn([OPENSSL ?? 'openssl', ...args], {
      cwd: folder.path,
      stdout: 'ignore',
      stderr: 'pipe',
    })
    if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text())
  }

  async function authority(name: string): Promise<void> {
    const files = ['-keyout', `${name}.key`, '-out', `${name}.crt`]
    await openssl(
      'req',
      '-x509',
      '-newkey',
      'ed25519',
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-days',
      '2',
      ...files,
    )
  }

  async function certificate(name: string, by: string): Promise<void> {
    await openssl(
      'req',
      '-newkey',
      'ed25519',
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
    )
    await Bun.write(join(folder.path, `${name}.ext`), 'subjectAltName=IP:127.0.0.1\n')
    const signer = [
      '-CA',
      `${by}.crt`,
      '-CAkey',
      `${by}.key`,
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      `${name}.ext`,
    ]
    await openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.crt`, ...signer)
  }

  beforeAll(async () => {
    folder = await createFolder()
    for (const name of ['ours', 'theirs']) await authority(name)
    await certificate('registry', 'ours')
    await certificate('cam-01', 'ours')
    await certificate('stranger', 'theirs')
    const at = (name: string) => JSON.stringify(join(folder.path, name))
    await Bun.write(
      join(folder.path, 'registry.toml'),
      `[mqtt]\ncert_file = ${at('registry.crt')}\nkey_file = ${at('registry.key')}\nca_file = ${at('ours.crt')}\n`,
    )
    registry = await startRegistry(folder.path, { args: ['--config', join(folder.path, 'registry.toml')] })
    secret = (await enrolDevice(registry, 'cam-01')).secret
  })
  afterAll(async () => {
    for (const device of devices) await device.stop()
    await registry?.stop()
    await folder?.remove()
  })

  async function come(certificates: { ca: string; own: string | undefined }): Promise<DeviceLink> {
    const own = certificates.own
    const device = startDevice(folder.path, {
      device: 'cam-01',
      secret,
      mqttUrl: registry.mqttUrl,
      tls: {
        ca: await pem(`${certificates.ca}.crt`),
        ...(own !== undefined && { cert: await pem(`${own}.crt`), key: await pem(`${own}.key`) }),
      },
    })
    devices.push(device)
    return device
  }

  test('a device with a certificate of our authority comes in', async () => {
    expect(registry.mqttUrl).toStartWith('mqtts://')
    const device = await come({ ca: 'ours', own: 'cam-01' })
    await eventually('the line is up', () => device.link.isUp)
    expect(await device.link.fetchMetadata('root.json', 100_000)).toBeDefined()
  })

  test.each<[string, { ca: string; own: string | undefined }]>([
    ['without a certificate', { ca: 'ours', own: undefined }],
    ['with one of another authority', { ca: 'ours', own: 'stranger' }],
    ['that does not know the authority of the broker', { ca: 'theirs', own: 'cam-01' }],
  ])('one %s does not', async (_, certificates) => {
    const { openLine } = await import('../../src/link/line.ts')
    const own = certificates.own
    const opening = openLine(
      {
        url: registry.mqttUrl,
        clientId: 'cam-01',
        username: 'cam-01',
        password: secret,
        tls: {
          ca: await pem(`${certificates.ca}.crt`),
          ...(own !== undefined && { cert: await pem(`${own}.crt`), key: await pem(`${own}.key`) }),
        },
        version: 4,
        keepaliveSeconds: 30,
        will: undefined,
      },
      new AbortController().signal,
    )
    await expect(opening).rejects.toThrow('Cannot reach the broker')
  })
})
