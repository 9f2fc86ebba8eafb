/** From the compiled binaries: a device that says where it is asked is found by Prometheus, and by whoever asks Consul. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { createFolder, type Running } from '../kit/binary.ts'
import { FakeConsul } from '../registry/fake-consul.ts'
import { eventually, Fleet, startUp } from './fleet.ts'

// Processes are started, and a busy machine takes its time.
setDefaultTimeout(120_000)

const TOKEN = 'c0ffee'
const consul = new FakeConsul({ token: TOKEN })
let folder: Awaited<ReturnType<typeof createFolder>>
let fleet: Fleet
let up: Running

beforeAll(async () => {
  folder = await createFolder()
  const [config, token] = [join(folder.path, 'registry.toml'), join(folder.path, 'consul.token')]
  await Bun.write(token, `${TOKEN}\n`)
  await Bun.write(
    config,
    `[consul]\nurl = "${consul.url}"\ntoken_file = "${token}"\nevery_seconds = 1\nservice = "edge"\n`,
  )
  fleet = await Fleet.start(folder.path, { args: ['--config', config] })
  up = await startUp(await fleet.enrol('cam-07'), '[registry]\nadvertise_url = "http://127.0.0.1:8000/"\n')
})
afterAll(async () => {
  await up?.stop()
  await fleet?.registry.stop()
  await consul.stop()
  await folder?.remove()
})

test('Prometheus is told of it', async () => {
  const [group] = await eventually('it is told', async () => {
    const answer = await fleet.registry.ask('GET', '/v1/discovery/prometheus')
    const groups = (await answer.json()) as { targets: string[]; labels: Record<string, string> }[]
    return groups.length > 0 ? groups : undefined
  })
  expect(group).toMatchObject({
    targets: ['127.0.0.1:8000'],
    labels: { device: 'cam-07', __metrics_path__: '/metrics', __meta_limpet_liveness: 'alive' },
  })
})

test('Consul has it, with the check that says whether it is ready', async () => {
  const service = await eventually('it is registered', async () => consul.services.get('edge-cam-07'))
  expect(service).toMatchObject({
    Service: 'edge',
    Address: '127.0.0.1',
    Port: 8000,
    Check: { HTTP: 'http://127.0.0.1:8000/v2/health/ready' },
  })
})

test('the fleet and its registry are counted', async () => {
  const text = await (await fleet.registry.ask('GET', '/metrics')).text()
  expect(text).toContain('limpet_fleet_devices{liveness="alive"} 1\n')
  expect(text).toMatch(/^limpet_registry_messages_total\{kind="state"\} [1-9]/m)
  expect(text).toMatch(/^process_resident_memory_bytes \d{7,}$/m)
})
