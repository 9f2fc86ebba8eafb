/** The way to a server, step by step: by name, by port, by certificate. */
import { afterAll, describe, expect, test } from 'bun:test'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { type Endpoint, endpointOf, tryEndpoint } from '../../../src/app/doctor/endpoint.ts'
import { systemClock } from '../../../src/kit/clock.ts'
import { createFolder } from '../../kit/binary.ts'

const folder = await createFolder()
afterAll(folder.remove)

const how = { tls: {}, clock: systemClock, signal: new AbortController().signal, stepMsMax: 30_000 }

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

test.each<[url: string, endpoint: Omit<Endpoint, 'name'>]>([
  ['https://registry.example', { host: 'registry.example', port: 443, isTls: true }],
  ['http://registry.example:8100/x', { host: 'registry.example', port: 8100, isTls: false }],
  ['mqtts://[fd00::1]', { host: 'fd00::1', port: 8883, isTls: true }],
  ['mqtt://user:secret@broker.example', { host: 'broker.example', port: 1883, isTls: false }],
])('%s is at a host and a port', (url, endpoint) => {
  expect(endpointOf('broker', url)).toEqual({ name: 'broker', ...endpoint })
})

test('each step is made after the one before, and the first that fails says why', async () => {
  const server = createServer((socket) => socket.destroy())
  const port = await listen(server)
  const open = { name: 'registry', host: '127.0.0.1', port, isTls: false } as const
  expect(await tryEndpoint(open, how)).toMatchObject({
    addresses: { result: ['127.0.0.1'] },
    connection: { result: true },
  })
  expect((await tryEndpoint({ ...open, isTls: true }, how)).handshake).toHaveProperty('problem')
  await new Promise((resolve) => server.close(resolve))
  const closed = await tryEndpoint(open, how)
  expect(closed.connection).toHaveProperty('problem')
  expect(closed.handshake).toBeUndefined()
  const unknown = await tryEndpoint({ ...open, host: 'nobody.invalid' }, how)
  expect(unknown.addresses).toHaveProperty('problem')
  expect(unknown.connection).toBeUndefined()
})

const OPENSSL = Bun.which('openssl', { PATH: '/usr/bin:/bin' })
const WITHOUT = OPENSSL === null ? ' (skipped: openssl is not installed)' : ''

describe.skipIf(OPENSSL === null)(`over TLS${WITHOUT}`, () => {
  test("the server's certificate is told, and whether it is believed", async () => {
    const [key, cert] = [join(folder.path, 'key.pem'), join(folder.path, 'cert.pem')]
    const made = Bun.spawnSync([
      ...[
        OPENSSL ?? '',
        'req',
        '-x509',
        '-newkey',
        'ed25519',
        '-nodes',
        '-subj',
        '/CN=registry.example',
        '-days',
        '9',
      ],
      ...['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
    ])
    expect(made.exitCode).toBe(0)
    const server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      tls: { key: Bun.file(key), cert: Bun.file(cert) },
      fetch: () => new Response(),
    })
    try {
      const endpoint = { name: 'registry', host: '127.0.0.1', port: server.port ?? 0, isTls: true } as const
      const strange = await tryEndpoint(endpoint, how)
      expect(strange.handshake).toMatchObject({
        result: {
          subject: 'registry.example',
          issuer: 'registry.example',
          problem: expect.stringMatching(/self.signed/i),
        },
      })
      const known = await tryEndpoint(endpoint, { ...how, tls: { ca: await Bun.file(cert).text() } })
      expect(known.handshake).toMatchObject({ result: { subject: 'registry.example', problem: '' } })
      const validToMs =
        known.handshake !== undefined && 'result' in known.handshake ? known.handshake.result.validToMs : 0
      expect(Math.round((validToMs - Date.now()) / 86_400_000)).toBe(9)
    } finally {
      await server.stop(true)
    }
  })
})
