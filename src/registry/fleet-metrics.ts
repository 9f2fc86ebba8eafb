import type { HistogramSnapshot } from '../kit/histogram.ts'
import { type Family, histogramSamples, writeFamilies } from '../kit/metrics-text.ts'
import type { Census, Count } from './census.ts'
import type { Traffic } from './traffic.ts'

export interface MetricSources {
  readonly census: Census
  readonly traffic: Traffic
  /** Of the process itself. */
  readonly machine: () => {
    readonly cpuSeconds: number
    readonly residentBytes: number
    readonly loopDelay: HistogramSnapshot
  }
}

/** The fleet and its registry, for Prometheus. Every family's labels are bounded: no device has a series of its own here. */
export function writeFleetMetrics({ census, traffic, machine }: MetricSources): string {
  return writeFamilies([
    gauge('limpet_fleet_devices', 'Enrolled devices, by whether they are there', census.byPresence()),
    gauge('limpet_fleet_running', 'Devices that run a version of a model', census.byVersion()),
    gauge(
      'limpet_fleet_updates',
      'The last update of each model on each device, by its state',
      census.byUpdate(),
    ),
    gauge('limpet_fleet_alerts', 'Alerts that hold, by name and severity', census.byAlert()),
    gauge('limpet_fleet_rollouts', 'Rollouts by state', census.byRollout()),
    gauge(
      'limpet_fleet_rollout_devices',
      'Devices of each rollout that is under way, by how they stand in it',
      census.byMember(),
    ),
    ...trafficFamilies(traffic),
    ...machineFamilies(machine()),
  ])
}

function trafficFamilies(traffic: Traffic): Family[] {
  return [
    counter(
      'limpet_registry_messages_total',
      'Messages of devices, by kind',
      countsOf('kind', Object.entries(traffic.messages)),
    ),
    counter(
      'limpet_registry_messages_refused_total',
      'Messages that were none, or of nobody that is enrolled',
      countsOf('kind', Object.entries(traffic.refused)),
    ),
    counter('limpet_registry_events_total', 'Events that were written down', [
      { labels: {}, count: traffic.events },
    ]),
    counter(
      'limpet_registry_heartbeats_missed_total',
      'Heartbeats that devices have sent and that never came',
      [{ labels: {}, count: traffic.heartbeatsMissed }],
    ),
    counter(
      'limpet_registry_http_errors_total',
      'Requests answered with an error, by its code',
      countsOf('code', [...traffic.errors]),
    ),
    {
      name: 'limpet_registry_http_request_seconds',
      help: 'Time from a request to its answer, by route',
      type: 'histogram',
      samples: traffic.requests.flatMap(([route, histogram]) => histogramSamples({ route }, histogram)),
    },
  ]
}

function machineFamilies(of: ReturnType<MetricSources['machine']>): Family[] {
  return [
    counter('process_cpu_seconds_total', 'Processor time of the registry', [
      { labels: {}, count: of.cpuSeconds },
    ]),
    gauge('process_resident_memory_bytes', 'Memory of the registry', [
      { labels: {}, count: of.residentBytes },
    ]),
    {
      name: 'limpet_event_loop_delay_seconds',
      help: 'How late timers of the main thread were, in seconds',
      type: 'histogram',
      samples: histogramSamples({}, of.loopDelay),
    },
  ]
}

function countsOf(label: string, entries: readonly (readonly [string, number])[]): Count[] {
  return entries.map(([name, count]) => ({ labels: { [label]: name }, count }))
}

function gauge(name: string, help: string, counts: readonly Count[]): Family {
  return { name, help, type: 'gauge', samples: samplesOf(counts) }
}

function counter(name: string, help: string, counts: readonly Count[]): Family {
  return { name, help, type: 'counter', samples: samplesOf(counts) }
}

function samplesOf(counts: readonly Count[]): Family['samples'] {
  return counts.map(({ labels, count }) => ({ labels, value: count }))
}
