import { lookup } from 'node:dns/promises'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Clock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/errors.ts'
import type { Tls } from '../../link/line.ts'

/** A step towards a server: how long it took, or why it failed. */
type Step<Result> = { readonly ms: number; readonly result: Result } | { readonly problem: string }

export interface Endpoint {
  readonly name: 'registry' | 'broker'
  readonly host: string
  readonly port: number
  readonly isTls: boolean
}

/** Each step is only made when the one before has succeeded. */
export interface EndpointFacts extends Endpoint {
  readonly addresses: Step<readonly string[]>
  readonly connection: Step<true> | undefined
  readonly handshake: Step<PeerCertificate> | undefined
}

interface PeerCertificate {
  readonly subject: string
  readonly issuer: string
  readonly validToMs: number
  /** Why it is not believed; "" where it is. */
  readonly problem: string
}

const PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443, 'mqtt:': 1883, 'mqtts:': 8883 }

export function endpointOf(name: Endpoint['name'], url: string): Endpoint {
  const { protocol, hostname, port } = new URL(url)
  return {
    name,
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? (PORTS[protocol] ?? 0) : Number(port),
    isTls: protocol === 'https:' || protocol === 'mqtts:',
  }
}

interface How {
  readonly tls: Tls
  readonly clock: Clock
  readonly signal: AbortSignal
  /** What each step may take. */
  readonly stepMsMax: number
}

/** Finds the server, connects to it and shakes hands, says nothing and hangs up. */
export async function tryEndpoint(endpoint: Endpoint, how: How): Promise<EndpointFacts> {
  const addresses = await step(how, async () => {
    const found = await lookup(endpoint.host, { all: true })
    return found.map(({ address }) => address)
  })
  const connection = 'problem' in addresses ? undefined : await step(how, (stop) => connect(endpoint, stop))
  const isConnected = connection !== undefined && !('problem' in connection)
  const handshake =
    isConnected && endpoint.isTls ? await step(how, (stop) => shake(endpoint, { ...how, stop })) : undefined
  return { ...endpoint, addresses, connection, handshake }
}

async function step<Result>(
  { clock, signal, stepMsMax }: How,
  work: (stop: AbortSignal) => Promise<Result>,
): Promise<Step<Result>> {
  const began = clock.elapsed()
  const stop = AbortSignal.any([signal, AbortSignal.timeout(stepMsMax)])
  const late = new Promise<never>((_, reject) => {
    stop.addEventListener('abort', () => reject(new Error(`no answer within ${stepMsMax / 1000} s`)), {
      once: true,
    })
  })
  try {
    const result = await Promise.race([work(stop), late])
    return { ms: clock.elapsed() - began, result }
  } catch (error) {
    return { problem: messageOf(error) }
  }
}

function connect({ host, port }: Endpoint, stop: AbortSignal): Promise<true> {
  const socket = connectTcp({ host, port })
  return settle(socket, { event: 'connect', stop, result: () => true as const })
}

function shake(
  { host, port }: Endpoint,
  { tls, stop }: { tls: Tls; stop: AbortSignal },
): Promise<PeerCertificate> {
  const isName = !/^[\d.]+$|:/.test(host)
  const socket = connectTls({
    host,
    port,
    ...tls,
    rejectUnauthorized: false,
    ...(isName && { servername: host }),
  })
  return settle(socket, {
    event: 'secureConnect',
    stop,
    result: () => {
      const { subject, issuer, valid_to } = socket.getPeerCertificate()
      const { authorizationError: problem } = socket
      return {
        subject: nameOf(subject),
        issuer: nameOf(issuer),
        validToMs: Date.parse(valid_to),
        problem: socket.authorized
          ? ''
          : problem instanceof Error
            ? problem.message
            : String(problem ?? 'it is not believed'),
      }
    },
  })
}

function nameOf(
  name: { readonly CN?: string | string[]; readonly O?: string | string[] } | undefined,
): string {
  return String(name?.CN ?? name?.O ?? 'unnamed')
}

function settle<Result>(
  socket: Socket,
  { event, stop, result }: { event: string; stop: AbortSignal; result: () => Result },
): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>()
  stop.addEventListener('abort', () => socket.destroy(), { once: true })
  socket.on('error', reject)
  socket.once('close', () => reject(new Error('the connection was closed')))
  socket.once(event, () => {
    try {
      resolve(result())
    } catch (error) {
      reject(error)
    } finally {
      socket.destroy()
    }
  })
  return promise
}
