/** What the doctor says of what is around serving: facts in, checks out. */
import { describe, expect, test } from 'bun:test'
import type { BrokerFacts } from '../../../src/app/doctor/broker.ts'
import { judgeBroker } from '../../../src/app/doctor/broker.ts'
import { type CentralFacts, newestOf } from '../../../src/app/doctor/central.ts'
import type { CertificateFacts } from '../../../src/app/doctor/certificates.ts'
import type { Check } from '../../../src/app/doctor/check.ts'
import { type ClockFacts, judgeClock, judgeOffset } from '../../../src/app/doctor/clock.ts'
import type { EndpointFacts } from '../../../src/app/doctor/endpoint.ts'
import { judgeAgent } from '../../../src/app/doctor/judge-agent.ts'
import { judgeCentral } from '../../../src/app/doctor/judge-central.ts'
import { judgeCertificates } from '../../../src/app/doctor/judge-certificates.ts'
import { judgeRegistry } from '../../../src/app/doctor/judge-registry.ts'
import { judgeServer } from '../../../src/app/doctor/judge-served.ts'
import { judgeStorage } from '../../../src/app/doctor/judge-storage.ts'
import { judgeNetwork } from '../../../src/app/doctor/network.ts'
import type { RegistryFacts } from '../../../src/app/doctor/registry.ts'
import { describe as describeServed, type ServedFacts } from '../../../src/app/doctor/served.ts'
import { judgeService } from '../../../src/app/doctor/service.ts'
import { mountOf, type StorageFacts } from '../../../src/app/doctor/storage.ts'
import { judgeTrust } from '../../../src/app/doctor/trust.ts'

const NOW = Date.UTC(2026, 5, 1)
const DAY = 86_400_000

type Row = readonly [what: string, checks: readonly Check[], id: string, status: string, text: RegExp]

/** Each row: one of the checks is this. */
function holds(rows: readonly Row[]): void {
  test.each(rows)('%s', (_, checks, id, status, text) => {
    expect(checks).toContainEqual(expect.objectContaining({ id, status, text: expect.stringMatching(text) }))
  })
}

const DISK: StorageFacts = {
  state: '/var/lib/limpet',
  nearest: '/var/lib/limpet',
  problem: '',
  space: { bsize: 4096, blocks: 1_000_000, bavail: 500_000, files: 1000, ffree: 900 },
  mount: { type: 'ext4', isReadOnly: false },
  wear: {},
  sqlite: '3.1',
  drafts: 0,
}
const disk = (more: Partial<StorageFacts>) => judgeStorage({ ...DISK, ...more })
const space = (more: object) =>
  disk({ space: { bsize: 4096, blocks: 1_000_000, bavail: 500_000, files: 1000, ffree: 900, ...more } })

describe('storage', () => {
  holds([
    ['with room', disk({}), 'storage.space', 'ok', /^1\.9 of 3\.8 GiB are free \(50 %\)$/],
    ['with little room', space({ bavail: 90_000 }), 'storage.space', 'warning', /9 %/],
    ['with no room', space({ bavail: 20_000 }), 'storage.space', 'fault', /2 %/],
    ['with few inodes', space({ ffree: 50 }), 'storage.inodes', 'warning', /only 5 % of the inodes/],
    ['with no inodes', space({ ffree: 0 }), 'storage.inodes', 'fault', /only 0 %/],
    [
      'read-only',
      disk({ mount: { type: 'ext4', isReadOnly: true } }),
      'storage.mount',
      'fault',
      /ext4 file system that is read-only/,
    ],
    [
      'in memory',
      disk({ mount: { type: 'tmpfs', isReadOnly: false } }),
      'storage.mount',
      'warning',
      /gone with the next restart/,
    ],
    [
      'in a container',
      disk({ mount: { type: 'overlay', isReadOnly: false } }),
      'storage.mount',
      'warning',
      /gone with the container/,
    ],
    ['not there yet', disk({ nearest: '/var/lib' }), 'storage.state', 'ok', /which is not there yet/],
    [
      'that cannot be used',
      disk({ problem: 'EACCES' }),
      'storage.state',
      'fault',
      /Cannot use the state folder .*: EACCES$/,
    ],
    ['worn', disk({ wear: { mmcblk0: 90 } }), 'storage.wear', 'warning', /^mmcblk0: 90 % of its life/],
    ['worn out', disk({ wear: { mmcblk0: 110 } }), 'storage.wear', 'fault', /110 %/],
  ])

  test('is on the mount that is nearest, the last of several at one place', () => {
    const mounts = [
      '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
      '40 22 8:2 / /var rw - ext4 /dev/sda2 rw,errors=remount-ro',
      '41 22 0:5 / /var/lib\\040x rw - tmpfs tmpfs rw',
      '42 22 8:3 / /var/lib rw - xfs /dev/sdb ro',
      '43 22 8:4 / /var/lib rw - btrfs /dev/sdc rw',
    ].join('\n')
    expect(mountOf('/var/lib/limpet', mounts)).toEqual({ type: 'btrfs', isReadOnly: false })
    expect(mountOf('/var/library', mounts)).toEqual({ type: 'ext4', isReadOnly: false })
    expect(mountOf('/var/lib x/y', mounts)).toEqual({ type: 'tmpfs', isReadOnly: false })
    expect(mountOf('/x', 'nonsense\n\n')).toBeUndefined()
    expect(mountOf('/var/lib/limpet', mounts.split('\n').slice(0, 4).join('\n'))?.isReadOnly).toBe(true)
  })
})

const clock = (more: Partial<ClockFacts>) =>
  judgeClock({ nowMs: NOW, builtMs: NOW - DAY, isSynchronized: true, ...more })

describe('the clock', () => {
  holds([
    ['that is kept', clock({}), 'clock.time', 'ok', /kept by a time server/],
    ['that nobody keeps', clock({ isSynchronized: false }), 'clock.time', 'note', /no time server/],
    ['of which nobody knows', clock({ isSynchronized: undefined }), 'clock.time', 'ok', /not known/],
    ['before the build', clock({ nowMs: 0 }), 'clock.wrong', 'warning', /1970.* it is behind$/],
    ['in 2099', clock({ nowMs: Date.UTC(2099, 0) }), 'clock.wrong', 'warning', /years ahead/],
    ['with the registry', [judgeOffset(5)], 'clock.offset', 'ok', /goes with/],
    ['a little ahead', [judgeOffset(6)], 'clock.offset', 'note', /6 s ahead of/],
    ['far behind', [judgeOffset(-30)], 'clock.offset', 'warning', /30 s behind/],
  ])
})

const END: EndpointFacts = {
  name: 'registry',
  host: 'registry.example',
  port: 443,
  isTls: true,
  addresses: { ms: 1, result: ['192.0.2.7'] },
  connection: { ms: 12, result: true },
  handshake: {
    ms: 20,
    result: { subject: 'registry.example', issuer: 'Acme', validToMs: NOW + 90 * DAY, problem: '' },
  },
}
const network = (more: Partial<EndpointFacts>) =>
  judgeNetwork({
    interfaces: { eth0: ['192.0.2.2'] },
    hasRoute: true,
    nameservers: ['192.0.2.1'],
    endpoints: [{ ...END, ...more }],
  })
const bare = (more: object) =>
  judgeNetwork({ interfaces: {}, hasRoute: false, nameservers: [], endpoints: [], ...more })

describe('the network', () => {
  holds([
    ['that leads there', network({}), 'network.reached', 'ok', /192\.0\.2\.7\) is reached in 12 ms by TLS$/],
    [
      'without that name',
      network({ addresses: { problem: 'ENOTFOUND' } }),
      'network.name',
      'warning',
      /registry\.example:443 is not found: ENOTFOUND; asked was 192\.0\.2\.1$/,
    ],
    [
      'with a closed port',
      network({ connection: { problem: 'ECONNREFUSED' } }),
      'network.connection',
      'warning',
      /cannot be reached: ECONNREFUSED/,
    ],
    [
      'with a port that speaks no TLS',
      network({ handshake: { problem: 'wrong version number' } }),
      'network.tls',
      'warning',
      /not in TLS: wrong version/,
    ],
    ['without an address', bare({}), 'network.interfaces', 'note', /no interface has an address/],
    [
      'without a way out',
      bare({ interfaces: { eth0: ['192.0.2.2'] } }),
      'network.interfaces',
      'note',
      /^eth0 192\.0\.2\.2; there is no default route$/,
    ],
  ])
})

const REGISTRY: RegistryFacts = {
  url: 'https://registry.example',
  device: 'cam-01',
  health: { status: 200, json: { live: true } },
  timestamp: { status: 200, json: { signed: { version: 7, expires: new Date(NOW + DAY).toISOString() } } },
  known: { status: 200, json: {} },
  offsetSeconds: 0.4,
  tookMs: 31,
  nowMs: NOW,
}
const registry = (more: Partial<RegistryFacts>) => judgeRegistry({ ...REGISTRY, ...more })

describe('the registry', () => {
  holds([
    [
      'that is none',
      judgeRegistry({ unasked: 'none', problem: '' }),
      'registry.none',
      'note',
      /not enrolled/,
    ],
    [
      'of an enrolment that is damaged',
      judgeRegistry({ unasked: 'unreadable', problem: 'it is torn' }),
      'registry.enrolment',
      'fault',
      /^it is torn$/,
    ],
    ['that is well', registry({}), 'registry.health', 'ok', /is well, answered in 31 ms/],
    [
      'that is silent',
      registry({ health: { problem: 'timed out' } }),
      'registry.silent',
      'warning',
      /does not answer: timed out/,
    ],
    [
      'that is another server',
      registry({ health: { status: 404, json: undefined } }),
      'registry.health',
      'warning',
      /answers 404/,
    ],
    [
      'that knows this device no more',
      registry({ known: { status: 401, json: {} } }),
      'registry.unknown',
      'fault',
      /does not know "cam-01"/,
    ],
    [
      'that has assigned nothing',
      registry({ known: { status: 404, json: {} } }),
      'registry.unassigned',
      'note',
      /assigned nothing/,
    ],
    ['with fresh metadata', registry({}), 'registry.metadata', 'ok', /version 7, good until/],
    [
      'with old metadata',
      registry({ nowMs: NOW + 2 * DAY }),
      'registry.metadata',
      'warning',
      /has expired on/,
    ],
    [
      'without metadata',
      registry({ timestamp: { status: 404, json: {} } }),
      'registry.metadata',
      'warning',
      /no metadata to give \(404\)/,
    ],
    [
      'whose metadata is nonsense',
      registry({ timestamp: { status: 200, json: 'x' } }),
      'registry.metadata',
      'warning',
      /no metadata/,
    ],
  ])
})

const broker = (more: Partial<BrokerFacts>) =>
  judgeBroker({ url: 'mqtts://b:8883', link: undefined, connect: undefined, ...more })

describe('the broker', () => {
  holds([
    ['of an agent whose line is up', broker({ link: 'up' }), 'broker.link', 'ok', /is up/],
    ['of an agent whose line is down', broker({ link: 'down' }), 'broker.link', 'warning', /is down/],
    [
      'that takes the device',
      broker({ connect: { ms: 4, version: 5 } }),
      'broker.connected',
      'ok',
      /\(MQTT 5, 4 ms\)/,
    ],
    [
      'that does not',
      broker({ connect: { problem: 'Not authorized' } }),
      'broker.refused',
      'warning',
      /Not authorized/,
    ],
    ['of an agent that does not say', broker({ link: 'unknown' }), 'broker.unknown', 'note', /an agent runs/],
    ['that nobody may ask', broker({}), 'broker.offline', 'note', /--offline/],
  ])
  test('is nothing to say of without an enrolment', () => expect(judgeBroker(undefined)).toEqual([]))
})

const CERTIFICATES: CertificateFacts = {
  nowMs: NOW,
  files: [],
  keyProblem: undefined,
  secrets: [],
  servers: [],
}
const certificate = (days: number, fromDays = -1) =>
  judgeCertificates({
    ...CERTIFICATES,
    files: [
      {
        what: 'certificate',
        path: '/c.pem',
        read: {
          subject: 'cam-01',
          issuer: 'Acme',
          validFromMs: NOW + fromDays * DAY,
          validToMs: NOW + days * DAY,
        },
      },
    ],
  })
const served = (more: object) =>
  judgeCertificates({
    ...CERTIFICATES,
    servers: [
      {
        ...END,
        handshake: {
          ms: 1,
          result: { subject: 'x', issuer: 'y', validToMs: NOW + 5 * DAY, problem: '', ...more },
        },
      },
    ],
  })

describe('certificates', () => {
  holds([
    ['that are none', judgeCertificates(CERTIFICATES), 'certificates.none', 'note', /none is used/],
    ['that are good', certificate(31), 'certificates.certificate', 'ok', /is good for 31 days/],
    ['that expire soon', certificate(30), 'certificates.certificate', 'warning', /expires in 30 days/],
    ['that have expired', certificate(0), 'certificates.certificate', 'fault', /has expired on 2026-06-01/],
    ['from the future', certificate(90, 1), 'certificates.certificate', 'warning', /not valid before/],
    [
      'that are none to read',
      judgeCertificates({
        ...CERTIFICATES,
        files: [{ what: 'ca', path: '/ca.pem', read: { problem: 'ENOENT' } }],
      }),
      'certificates.ca',
      'fault',
      /registry\.ca_file "\/ca\.pem" cannot be used: ENOENT/,
    ],
    [
      'with the key of another',
      judgeCertificates({ ...CERTIFICATES, keyProblem: 'it is not the key of the certificate' }),
      'certificates.key',
      'fault',
      /not the key/,
    ],
    [
      'of a server that is not believed',
      served({ problem: 'self-signed certificate' }),
      'certificates.server',
      'fault',
      /not believed: self-signed/,
    ],
    ['of a server that expire soon', served({}), 'certificates.server', 'warning', /expires in 5 days/],
    [
      'with a secret for all to read',
      judgeCertificates({ ...CERTIFICATES, secrets: [{ path: '/s', mode: 0o640 }] }),
      'certificates.mode',
      'warning',
      /its mode is 640/,
    ],
  ])
  test('a secret that only its owner can read is nothing to say of', () => {
    expect(judgeCertificates({ ...CERTIFICATES, secrets: [{ path: '/s', mode: 0o600 }] })).toEqual(
      judgeCertificates(CERTIFICATES),
    )
  })
})

const trust = (expiresMs: Readonly<Record<string, number | undefined>>) =>
  judgeTrust({ nowMs: NOW, folder: '/trust', expiresMs })

describe('trust', () => {
  holds([
    [
      'that is fresh',
      trust({ root: NOW + 300 * DAY, timestamp: NOW + DAY }),
      'trust.expires',
      'ok',
      /good until 2026-06-02.*\(timestamp, 24 hours\)/,
    ],
    [
      'that ends within the day',
      trust({ root: NOW + DAY / 2 }),
      'trust.expires',
      'note',
      /\(root, 12 hours\)/,
    ],
    [
      'that has ended',
      trust({ root: NOW + DAY, timestamp: NOW }),
      'trust.expired',
      'warning',
      /\(timestamp on 2026-06-01/,
    ],
    [
      'that is torn',
      trust({ root: Number.NaN }),
      'trust.torn',
      'warning',
      /^root in "\/trust" cannot be read/,
    ],
    ['that has not come yet', trust({ root: undefined }), 'trust.none', 'note', /no metadata yet/],
  ])
})

const unit = (more: Readonly<Record<string, string>>) =>
  judgeService([
    {
      unit: 'limpet.service',
      LoadState: 'loaded',
      ActiveState: 'active',
      SubState: 'running',
      Result: 'success',
      NRestarts: '0',
      WatchdogUSec: '1min',
      ...more,
    },
  ])

describe('the service', () => {
  holds([
    ['that is none', judgeService([]), 'service.none', 'note', /no unit of Limpet/],
    [
      'that runs',
      unit({ StatusText: 'serving' }),
      'service.state',
      'ok',
      /^limpet\.service is active \(running\): serving$/,
    ],
    ['without a watchdog', unit({ WatchdogUSec: '0' }), 'service.state', 'ok', /without a watchdog/],
    [
      'that has failed',
      unit({ ActiveState: 'failed', SubState: 'failed', Result: 'exit-code' }),
      'service.state',
      'fault',
      /because of exit-code/,
    ],
    [
      'that nobody has started',
      unit({ ActiveState: 'inactive', SubState: 'dead' }),
      'service.state',
      'note',
      /nobody has started it/,
    ],
    [
      'on its way',
      unit({ ActiveState: 'activating', SubState: 'start' }),
      'service.state',
      'warning',
      /on its way/,
    ],
    ['started again once', unit({ NRestarts: '1' }), 'service.restarts', 'note', /again 1 time$/],
    ['started again and again', unit({ NRestarts: '3' }), 'service.restarts', 'warning', /again 3 times/],
  ])
})

const LANE: ServedFacts = {
  model: 'yolo',
  version: '3',
  state: 'READY',
  reason: '',
  memoryBytes: 5e6,
  providers: ['CPUExecutionProvider'],
  refused: [],
  nodes: { CPUExecutionProvider: 12 },
  requests: 100,
  errors: 0,
  notFinite: 0,
  meanMs: 3.25,
  p95Ms: 5,
  pending: 0,
}
const SERVER = { where: '/s', problem: '', isExpected: false, isLoading: false }
const serves = (more: Partial<ServedFacts>) => judgeServer({ ...SERVER, served: [{ ...LANE, ...more }] })
const nobody = (more: object) => judgeServer({ ...SERVER, served: undefined, ...more })

describe('models that serve', () => {
  holds([
    [
      'well',
      serves({}),
      'models.serves',
      'ok',
      /^yolo 3 serves: on CPUExecutionProvider \(12 nodes\), 5\.0 MB, 100 requests, 3\.3 ms on average, 95 % within 5 ms$/,
    ],
    ['and were not asked', serves({ requests: 0 }), 'models.serves', 'ok', /not asked yet$/],
    [
      'without what they were to run on',
      serves({ refused: ['cuda'], reason: 'runs on cpu; cuda refused it: x' }),
      'models.refused',
      'note',
      /cuda refused it/,
    ],
    ['and fail', serves({ errors: 10 }), 'models.errors', 'warning', /10 of 110 requests/],
    ['and answer NaN', serves({ notFinite: 1 }), 'models.not_finite', 'warning', /1 answers/],
    [
      'not, for want of a file',
      serves({ state: 'UNAVAILABLE', reason: 'no model.onnx' }),
      'models.not_ready',
      'fault',
      /no model\.onnx/,
    ],
    [
      'not, as somebody wished',
      serves({ state: 'UNAVAILABLE', reason: 'unloaded' }),
      'models.not_ready',
      'note',
      /unloaded/,
    ],
    [
      'soon',
      serves({ state: 'LOADING', reason: 'building engine 3/7' }),
      'models.loading',
      'note',
      /building engine 3\/7/,
    ],
    ['nowhere', nobody({}), 'models.not_served', 'note', /nobody serves at \/s/],
    [
      'nowhere, though an agent runs',
      nobody({ isExpected: true }),
      'models.not_served',
      'fault',
      /nobody serves/,
    ],
    ['but are none', judgeServer({ ...SERVER, served: [] }), 'models.none', 'note', /has no model/],
  ])
  test('nowhere, while they are loaded for the look, are no news', () =>
    expect(nobody({ isLoading: true })).toEqual([]))

  test('are read from what the server says of itself', () => {
    const metrics = [
      'limpet_lane_memory_bytes{model="a",version="1"} 7000',
      'limpet_lane_provider{model="a",version="1",provider="CPUExecutionProvider"} 1',
      'limpet_lane_provider_refused{model="a",version="1",provider="cuda"} 1',
      'limpet_model_nodes{model="a",version="1",provider="CPUExecutionProvider"} 3',
      'nv_inference_request_success{model="a",version="1"} 4',
      'nv_inference_request_duration_us{model="a",version="1"} 8000',
      'nv_inference_request_duration_histogram_us_bucket{model="a",version="1",le="1000"} 3',
      'nv_inference_request_duration_histogram_us_bucket{model="a",version="1",le="5000"} 4',
      'nv_inference_request_duration_histogram_us_bucket{model="a",version="1",le="+Inf"} 4',
    ].join('\n')
    const [facts, other] = describeServed(
      [{ name: 'a', version: '1', state: 'READY' }, { name: 'b' }],
      metrics,
    )
    expect(facts).toMatchObject({
      memoryBytes: 7000,
      providers: ['CPUExecutionProvider'],
      refused: ['cuda'],
      nodes: { CPUExecutionProvider: 3 },
      requests: 4,
      meanMs: 2,
      p95Ms: 5,
    })
    expect(other).toMatchObject({
      model: 'b',
      version: '',
      state: 'UNAVAILABLE',
      meanMs: undefined,
      p95Ms: undefined,
    })
  })
})

type Status = Extract<Parameters<typeof judgeAgent>[0], { kind: 'running' }>['status']
const version = (name: string) => ({ version: name, release: 1, sha256: name.repeat(64) })
const MODEL: Status['models'][number] = {
  model: 'v/yolo',
  running: version('1'),
  previous: null,
  good: null,
  assigned: version('1'),
  update: null,
  last_inference: null,
  nodes: null,
}
const update = (state: string, code = '') => ({
  rev: 2,
  version: '2',
  state,
  percent: 40,
  waits_for: 'a window',
  since: 'today',
  code,
  reason: 'because',
})
const STATUS = {
  device: 'cam-01',
  rev: 3,
  link: 'up',
  models: [],
  alerts: [],
  quarantine: [],
  sources_skipped: [],
} as unknown as Status
const agent = (more: Partial<Status>) => judgeAgent({ kind: 'running', status: { ...STATUS, ...more } })
const model = (more: Partial<typeof MODEL>) => agent({ models: [{ ...MODEL, ...more }] })
const alert = (severity: string) => ({
  name: 'n',
  subject: '',
  severity,
  since: 'noon',
  value: 1,
  limit: 0,
  message: 'too hot',
})
const held = { model: 'v/yolo', version: '2', sha256: '', code: 'golden_failed', reason: 'sample 0' }
const left = (journal: object) =>
  judgeAgent({
    kind: 'stopped',
    journal: { rev: 4, working: [], quarantined: [], unseenBytes: 0, ...journal },
  })

const CENTRAL: CentralFacts = {
  nowMs: NOW,
  folder: '/r',
  databaseBytes: 5e6,
  damage: undefined,
  isSearched: true,
  keys: [{ path: '/r/keys/a.pem', mode: 0o600 }],
  hasDevelopmentKeys: false,
  expiresMs: { root: NOW + 40 * DAY, timestamp: NOW + DAY },
  health: { is: 'good', answer: '200' },
}
const central = (more: Partial<CentralFacts>) => judgeCentral({ ...CENTRAL, ...more })

describe('a registry on this machine', () => {
  holds([
    ['that runs', central({}), 'central.runs', 'ok', /lives in "\/r"/],
    [
      'that does not',
      central({ health: { is: 'silent', answer: 'x' } }),
      'central.silent',
      'note',
      /none answers/,
    ],
    ['with a sound database', central({}), 'central.database', 'ok', /5\.0 MB, and is sound/],
    [
      'with one that is written to',
      central({ isSearched: false }),
      'central.database',
      'ok',
      /was not searched/,
    ],
    [
      'with a damaged one',
      central({ damage: 'malformed' }),
      'central.database',
      'fault',
      /damaged: malformed/,
    ],
    [
      'with a key for all to read',
      central({ keys: [{ path: '/k', mode: 0o644 }] }),
      'central.mode',
      'fault',
      /"\/k" \(mode 644\)/,
    ],
    ['without keys', central({ keys: [] }), 'central.keys', 'fault', /cannot sign/],
    [
      'for trying out',
      central({ hasDevelopmentKeys: true }),
      'central.development',
      'warning',
      /for trying out/,
    ],
    [
      'whose root ends soon',
      central({ expiresMs: { root: NOW + 30 * DAY } }),
      'central.expires',
      'warning',
      /root expires in 30 days/,
    ],
    [
      'whose timestamp it signs itself',
      central({}),
      'central.metadata',
      'ok',
      /timestamp is good for 1 days/,
    ],
    [
      'whose root has ended',
      central({ expiresMs: { root: NOW } }),
      'central.expired',
      'fault',
      /root has expired/,
    ],
    [
      'whose root is torn',
      central({ expiresMs: { root: Number.NaN } }),
      'central.metadata',
      'fault',
      /cannot be read/,
    ],
  ])
  test('has a newest file of each role', () => {
    const names = [
      '2.root.json',
      'root.json',
      '9.vision.json',
      '10.vision.json',
      'timestamp.json',
      'x.tmp',
      'a.b.json',
    ]
    expect(newestOf(names)).toEqual({
      root: 'root.json',
      vision: '10.vision.json',
      timestamp: 'timestamp.json',
    })
  })
  test('is nothing to say of where there is none', () => expect(judgeCentral(undefined)).toEqual([]))
})

describe('the agent', () => {
  holds([
    ['that runs', agent({}), 'agent.runs', 'ok', /"cam-01" is at assignment 3, its line is up/],
    ['with a model as assigned', model({}), 'agent.model', 'ok', /v\/yolo serves 1, as assigned/],
    [
      'with an update under way',
      model({ update: update('download') }),
      'agent.update',
      'note',
      /is on its way: download 40 %, waits for: a window/,
    ],
    [
      'with one that is stuck',
      model({ update: update('stuck', 'storage_failed') }),
      'agent.stuck',
      'fault',
      /is stuck: storage_failed: because/,
    ],
    [
      'with one that did not do',
      model({ assigned: version('2'), update: update('rejected', 'golden_failed') }),
      'agent.behind',
      'warning',
      /is assigned 2 and serves 1: golden_failed: because/,
    ],
    [
      'with something in quarantine',
      agent({ quarantine: [held] }),
      'agent.quarantine',
      'warning',
      /v\/yolo 2 is not tried again: golden_failed/,
    ],
    ['with an alert', agent({ alerts: [alert('warning')] }), 'agent.alert', 'warning', /too hot, since noon/],
    ['with a critical one', agent({ alerts: [alert('critical')] }), 'agent.alert', 'fault', /too hot/],
    [
      'that cannot measure all',
      agent({ sources_skipped: [{ source: 'nvidia', skipped: 3, reason: 'hangs' }] }),
      'agent.unmeasured',
      'note',
      /nvidia is not measured, 3 times/,
    ],
    ['that does not answer', judgeAgent({ kind: 'silent' }), 'agent.silent', 'warning', /an agent runs/],
    ['that does not run', left({}), 'agent.stopped', 'warning', /no agent runs/],
    [
      'that has left an update',
      left({ working: [{ model: 'v/yolo', version: '2', state: 'download' }] }),
      'agent.update',
      'note',
      /was on its way: download/,
    ],
    [
      'that has left a log',
      left({ unseenBytes: 99 }),
      'agent.left',
      'note',
      /at assignment 4; the last 99 bytes/,
    ],
    [
      'whose memory is damaged',
      judgeAgent({ kind: 'stopped', journal: { problem: 'malformed' } }),
      'agent.journal',
      'fault',
      /malformed/,
    ],
  ])
})
