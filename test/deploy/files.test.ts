/** What operators copy names what there is: routes, metrics, and the words of whoever reads it. */
import { afterAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { listRoutes } from '../../src/registry/app.ts'
import { BINARY, createFolder, startServing, writeModel } from '../kit/binary.ts'
import { simple } from '../kit/model-zoo.ts'
import { stageRegistry } from '../registry/stage.ts'

const DEPLOY = join(import.meta.dir, '../../deploy')
const stage = await stageRegistry()
const folder = await createFolder()
afterAll(async () => {
  await stage.remove()
  await folder.remove()
})

const read = (path: string) => Bun.file(join(DEPLOY, path)).text()

describe('Prometheus', () => {
  interface Job {
    readonly job_name: string
    readonly metrics_path?: string
    readonly http_sd_configs?: readonly { readonly url: string }[]
  }

  test('asks the registry at routes that it has', async () => {
    const { scrape_configs: jobs } = Bun.YAML.parse(await read('prometheus/prometheus.yml')) as {
      scrape_configs: Job[]
    }
    const routes = listRoutes(stage.parts).map(([, method, path]) => `${method} ${path}`)
    const [devices, registry] = jobs
    expect(routes).toContain(`GET ${new URL(devices?.http_sd_configs?.[0]?.url ?? '').pathname}`)
    expect(routes).toContain(`GET ${registry?.metrics_path ?? '/metrics'}`)
  })
})

test('each metric of the Grafana dashboard and of the alert rules is one that the registry or a device gives', async () => {
  await writeModel(join(folder.path, 'models'), 'simple', { onnx: simple() })
  const device = await startServing(folder.path, {
    command: [BINARY, 'serve', '--models', join(folder.path, 'models'), '--port', '0'],
  })
  try {
    const given =
      (await (await fetch(`${device.url}/metrics`)).text()) +
      (await (await stage.app.request('/metrics', { headers: stage.as('viewer') })).text())
    const families = new Set([...given.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name))
    const { panels } = JSON.parse(await read('grafana/fleet.json')) as {
      panels: { title: string; targets: { expr: string }[] }[]
    }
    const { groups } = Bun.YAML.parse(await read('prometheus/alerts.yml')) as {
      groups: { rules: { expr: string }[] }[]
    }
    const expressions = [...panels.flatMap(({ targets }) => targets), ...groups.flatMap(({ rules }) => rules)]
    const asked = expressions.flatMap(({ expr }) => expr.match(/\b(limpet|nv|process)_\w+/g) ?? [])
    expect(asked.length).toBeGreaterThan(20)
    expect(asked.filter((name) => !families.has(name.replace(/_bucket$/, '')))).toEqual([])
  } finally {
    await device.stop()
  }
})

describe('Envoy', () => {
  interface Cluster {
    readonly name: string
    readonly health_checks: readonly { readonly http_health_check: { readonly path: string } }[]
    readonly outlier_detection: object
  }

  test('is given YAML that routes to the cluster that it describes, checked, watched and tried again', async () => {
    const text = await read('envoy/envoy.yaml')
    const { static_resources: all } = Bun.YAML.parse(text) as {
      static_resources: { clusters: Cluster[]; listeners: object[] }
    }
    const [cluster] = all.clusters
    expect(all.listeners).toHaveLength(1)
    expect(JSON.stringify(all.listeners)).toContain(`"cluster":"${cluster?.name}"`)
    expect(JSON.stringify(all.listeners)).toContain('"num_retries":3')
    expect(cluster?.health_checks[0]?.http_health_check.path).toBe('/v2/health/ready')
    expect(Object.keys(cluster?.outlier_detection ?? {})).toContain('consecutive_5xx')
  })
})
