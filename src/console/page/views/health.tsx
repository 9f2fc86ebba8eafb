import { useMemo, useState } from 'preact/hooks'
import { bytes, count, plural, words } from '../format.ts'
import { now } from '../now.ts'
import { type Alert, AlertList } from '../parts/alert-list.tsx'
import { Chart, LINES_MAX, type Line, type Point } from '../parts/chart.tsx'
import { Empty, Loaded, Panel } from '../parts/page.tsx'
import { useResource } from '../resource.ts'

interface Series {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly points: readonly Point[]
}

const HOURS = [
  [1, 'an hour'],
  [24, 'a day'],
  [168, 'a week'],
  [2160, 'three months'],
] as const
const POINTS = 240

/** How the device is: what it complains of, and what it has measured. */
export function Health({ device }: { readonly device: string }) {
  const path = `/v1/devices/${encodeURIComponent(device)}`
  const [hours, setHours] = useState(24)
  const from = useMemo(() => new Date(now() - hours * 3_600_000).toISOString(), [hours])
  const history = useResource<{ series: Series[] }>(`${path}/telemetry?points_max=${POINTS}&from=${from}`, {
    kinds: ['device'],
    id: device,
  })
  return (
    <>
      <Alerts path={`${path}/alerts`} device={device} />
      <section class="panel" aria-label="Health">
        <div class="panel-head">
          <h2>Health</h2>
          <select
            aria-label="Show"
            value={hours}
            onChange={(event) => setHours(Number(event.currentTarget.value))}
          >
            {HOURS.map(([value, name]) => (
              <option key={value} value={value}>
                The last {name.replace(/^an? /, '')}
              </option>
            ))}
          </select>
        </div>
        <Loaded from={history}>{({ series }) => <Charts series={series} />}</Loaded>
      </section>
    </>
  )
}

function Charts({ series }: { readonly series: readonly Series[] }) {
  if (series.length === 0) return <Empty>It has not measured anything in this time.</Empty>
  const charts = [...Map.groupBy(series, ({ name }) => name)].flatMap(([name, of]) =>
    pagesOf(of).map((lines, page) => ({ key: `${name} ${page}`, name, lines })),
  )
  const first = charts.filter(({ name }) => FIRST.includes(name))
  const others = charts.filter(({ name }) => !FIRST.includes(name))
  return (
    <>
      <Grid charts={first} />
      {others.length === 0 ? null : (
        <details class="more">
          <summary>{plural(others.length, 'more chart')}</summary>
          <Grid charts={others} />
        </details>
      )}
    </>
  )
}

/** What one looks at before anything else. */
const FIRST = [
  'temperature_celsius',
  'cpu_percent',
  'gpu_load_percent',
  'memory_used_percent',
  'power_total_watts',
  'disk_used_percent',
  'model_p95_ms',
  'model_error_percent',
]

interface Picture {
  readonly key: string
  readonly name: string
  readonly lines: readonly Line[]
}

function Grid({ charts }: { readonly charts: readonly Picture[] }) {
  return (
    <div class="charts">
      {charts.map(({ key, name, lines }) => (
        <Chart key={key} title={titleOf(name)} lines={lines} show={showerOf(name)} />
      ))}
    </div>
  )
}

/** As many lines in one picture as can be told apart. */
function pagesOf(series: readonly Series[]): Line[][] {
  const lines = series.map(({ labels, points }) => ({ label: Object.values(labels).join(' '), points }))
  return Array.from({ length: Math.ceil(lines.length / LINES_MAX) }, (_, page) =>
    lines.slice(page * LINES_MAX, (page + 1) * LINES_MAX),
  )
}

/** A name ends with its unit; one that ends with none is a plain number. */
const UNITS: readonly [end: string, show: (value: number) => string][] = [
  ['_celsius', (value) => `${round(value)} °C`],
  ['_percent', (value) => `${round(value)} %`],
  ['_ratio', (value) => `${round(value * 100)} %`],
  ['_bytes', bytes],
  ['_bytes_per_second', (value) => `${bytes(value)}/s`],
  ['_per_second', (value) => `${round(value)}/s`],
  ['_milliwatts', (value) => `${round(value / 1000)} W`],
  ['_watts', (value) => `${round(value)} W`],
  ['_mhz', (value) => `${round(value)} MHz`],
  ['_hertz', (value) => `${round(value / 1e6)} MHz`],
  ['_ms', (value) => `${round(value)} ms`],
  ['_seconds', (value) => `${round(value)} s`],
]

function showerOf(name: string): (value: number) => string {
  return UNITS.find(([end]) => name.endsWith(end))?.[1] ?? round
}

function titleOf(name: string): string {
  const end = UNITS.find(([unit]) => name.endsWith(unit))?.[0] ?? ''
  const title = words(name.slice(0, name.length - end.length))
  return title.charAt(0).toUpperCase() + title.slice(1)
}

function round(value: number): string {
  return Math.abs(value) < 10 ? String(Math.round(value * 100) / 100) : count(Math.round(value))
}

/** What holds, and the last few that are over. */
function Alerts({ path, device }: { readonly path: string; readonly device: string }) {
  const alerts = useResource<{ alerts: Alert[] }>(path, { kinds: ['alert'], id: device })
  const shown = alerts.value?.alerts.slice(0, 12) ?? []
  if (shown.length === 0) return null
  return (
    <Panel title="Alerts">
      <Loaded from={alerts}>{() => <AlertList alerts={shown} isOfOne />}</Loaded>
    </Panel>
  )
}
