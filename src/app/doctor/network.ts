import { readFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { type Check, checksOf } from './check.ts'
import type { Context } from './context.ts'
import type { EndpointFacts } from './endpoint.ts'

export interface NetworkFacts {
  /** Addresses that lead off the machine, by interface. */
  readonly interfaces: Readonly<Record<string, readonly string[]>>
  readonly hasRoute: boolean
  readonly nameservers: readonly string[]
  /** None where the device is not enrolled, or nobody is to be asked. */
  readonly endpoints: readonly EndpointFacts[]
}

export async function lookAtNetwork({ endpoints }: Context): Promise<NetworkFacts> {
  const read = (path: string) => readFile(path, 'utf8').catch(() => '')
  const [route, route6, resolv] = await Promise.all(
    ['/proc/net/route', '/proc/net/ipv6_route', '/etc/resolv.conf'].map(read),
  )
  const outside = Object.entries(networkInterfaces()).flatMap(([name, all]) => {
    const addresses = (all ?? []).filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
    return addresses.length === 0 ? [] : [[name, addresses.map(({ address }) => address)] as const]
  })
  return {
    interfaces: Object.fromEntries(outside),
    hasRoute: /^\S+\t00000000\t/m.test(route ?? '') || /^0{32} 00 .* (?!lo)\S+$/m.test(route6 ?? ''),
    nameservers: [...(resolv ?? '').matchAll(/^nameserver\s+(\S+)/gm)].map(([, address = '']) => address),
    endpoints: await endpoints(),
  }
}

const { ok, note, warning } = checksOf('network')

export function judgeNetwork(facts: NetworkFacts): Check[] {
  return [judgeInterfaces(facts), ...facts.endpoints.map((endpoint) => judgeEndpoint(endpoint, facts))]
}

function judgeInterfaces({ interfaces, hasRoute, nameservers }: NetworkFacts): Check {
  const names = Object.entries(interfaces).map(([name, addresses]) => `${name} ${addresses.join(' ')}`)
  const facts = { interfaces, default_route: hasRoute, nameservers }
  if (names.length === 0)
    return note('interfaces', 'no interface has an address: what is assigned cannot come', {
      facts,
      fix: 'connect a cable, or set up the interface; "ip address" shows what there is',
    })
  const route = hasRoute ? '' : '; there is no default route'
  return (hasRoute ? ok : note)('interfaces', `${names.join(', ')}${route}`, { facts })
}

function judgeEndpoint(endpoint: EndpointFacts, { nameservers }: NetworkFacts): Check {
  const { name, host, port, addresses, connection, handshake } = endpoint
  const where = `the ${name} ${host}:${port}`
  if ('problem' in addresses) {
    const servers =
      nameservers.length === 0
        ? 'there is no name server in /etc/resolv.conf'
        : `asked was ${nameservers.join(', ')}`
    return warning('name', `the name of ${where} is not found: ${addresses.problem}; ${servers}`, {
      fix: 'look at the name, at /etc/resolv.conf and at the cable; "limpet enrol --again" is for a registry that has moved',
      facts: { name, host },
    })
  }
  const at = `${where} (${addresses.result.join(', ')})`
  if (connection === undefined || 'problem' in connection)
    return warning('connection', `${at} cannot be reached: ${connection?.problem ?? ''}`, {
      fix: `is it running, and does a firewall let ${port}/tcp through?`,
      facts: { name, host, port },
    })
  if (handshake !== undefined && 'problem' in handshake)
    return warning('tls', `${at} answers, but not in TLS: ${handshake.problem}`, {
      fix: 'is this the port that speaks TLS, and does the registry ask for a certificate that this device lacks?',
      facts: { name, host, port },
    })
  const facts = { name, host, port, addresses: addresses.result, connect_ms: Math.round(connection.ms) }
  return ok(
    'reached',
    `${at} is reached in ${Math.round(connection.ms)} ms${handshake === undefined ? '' : ' by TLS'}`,
    { facts },
  )
}
