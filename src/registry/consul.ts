import { createHash } from 'node:crypto'
import { basePath, portOf } from './discovery.ts'
import type { Endpoint } from './endpoints.ts'

/** A service as Consul's agent takes it (PUT /v1/agent/service/register). */
export interface Registration {
  readonly ID: string
  readonly Name: string
  readonly Address: string
  readonly Port: number
  readonly Tags: readonly string[]
  readonly Meta: Readonly<Record<string, string>>
  readonly Check: {
    readonly Name: string
    readonly HTTP: string
    readonly Method: 'GET'
    readonly Interval: string
    readonly Timeout: string
  }
}

/** What Consul's agent has (GET /v1/agent/services), as far as it concerns us. */
export interface Registered {
  readonly id: string
  readonly meta: Readonly<Record<string, string>>
}

export interface ConsulRules {
  readonly service: string
  readonly tags: readonly string[]
  readonly checkSeconds: number
  readonly awaySeconds: number
}

/** In the meta of what is ours: whose it is, and what it says, so that a look tells whether it still does. */
const OWNER = 'limpet_service'
const DIGEST = 'limpet_digest'
const TIMEOUT_SECONDS_MAX = 5

/** Devices that are there, or were a moment ago. */
export function wantedServices(
  endpoints: readonly Endpoint[],
  { rules, nowMs }: { rules: ConsulRules; nowMs: number },
): Registration[] {
  return endpoints
    .filter(({ isOnline, seen }) => isOnline || nowMs - seen < rules.awaySeconds * 1000)
    .map((endpoint) => describe(endpoint, rules))
}

/** What has to be said so that Consul has what is wanted. What is not ours is left alone. */
export function compareServices(
  wanted: readonly Registration[],
  { registered, service }: { registered: readonly Registered[]; service: string },
): { readonly register: Registration[]; readonly deregister: string[] } {
  const ours = new Map(
    registered.filter(({ meta }) => meta[OWNER] === service).map(({ id, meta }) => [id, meta]),
  )
  const ids = new Set(wanted.map(({ ID }) => ID))
  return {
    register: wanted.filter(({ ID, Meta }) => ours.get(ID)?.[DIGEST] !== Meta[DIGEST]),
    deregister: [...ours.keys()].filter((id) => !ids.has(id)),
  }
}

function describe({ device, url, hardware }: Endpoint, rules: ConsulRules): Registration {
  const plain = {
    ID: `${rules.service}-${device}`,
    Name: rules.service,
    Address: url.hostname,
    Port: portOf(url),
    Tags: rules.tags,
    Check: {
      Name: 'ready to infer',
      HTTP: `${url.origin}${basePath(url)}/v2/health/ready`,
      Method: 'GET',
      Interval: `${rules.checkSeconds}s`,
      Timeout: `${Math.min(TIMEOUT_SECONDS_MAX, rules.checkSeconds)}s`,
    },
  } as const
  const meta = {
    [OWNER]: rules.service,
    limpet_device: device,
    limpet_hardware: hardware.join(',').slice(0, 512),
    limpet_scheme: url.protocol.slice(0, -1),
    limpet_path: basePath(url).slice(0, 512),
  }
  const digest = createHash('sha256')
    .update(JSON.stringify([plain, meta]))
    .digest('hex')
    .slice(0, 32)
  return { ...plain, Meta: { ...meta, [DIGEST]: digest } }
}
