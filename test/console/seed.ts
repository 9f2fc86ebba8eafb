/** Ten thousand devices that never were, written straight into a registry's database while it is stopped. */
import { join } from 'node:path'
import { systemClock } from '../../src/kit/clock.ts'
import { type Database, openDatabase, transact } from '../../src/kit/database.ts'
import { TelemetryStore } from '../../src/registry/telemetry.ts'

const CLASSES = ['orin-nano', 'orin-nx', 'agx-orin', 'x86-64']
const MODELS = ['vision/detector', 'vision/reader', 'audio/listener']

export function seedFleet(state: string, { devices, nowMs }: { devices: number; nowMs: number }): void {
  const database = openDatabase(join(state, 'registry.sqlite'))
  const device = database.prepare(
    `INSERT INTO device (id, secret_sha256, hardware, hardware_class, enrolled, seen, online, sid, state, state_seq)
     VALUES (?, x'00', '{}', ?, ?, ?, ?, 'seed', ?, 1)`,
  )
  const model = database.prepare(
    `INSERT INTO device_model (device, model, running, running_version, running_release) VALUES (?, ?, ?, ?, ?)`,
  )
  const alert = database.prepare(
    `INSERT INTO alert (device, name, subject, severity, since, value, "limit", message)
     VALUES (?, 'temperature', 'soc', ?, ?, 91, 85, 'soc is at 91 °C, limit 85 °C')`,
  )
  transact(database, () => {
    for (let number = 0; number < devices; number += 1) {
      const id = `cam-${String(number).padStart(5, '0')}`
      const hardware = CLASSES[number % CLASSES.length] ?? ''
      const models = MODELS.map((name, index) => ({
        name,
        version: (number + index) % 10 < 7 ? '3.2.0' : '3.1.4',
      }))
      const isOnline = number % 25 !== 0
      device.run(
        ...[id, hardware, nowMs - 86_400_000, nowMs - (isOnline ? 5_000 : 7_200_000), isOnline ? 1 : 0],
        JSON.stringify(stateOf(id, { hardware, models })),
      )
      for (const { name, version } of models)
        model.run(id, name, 'a'.repeat(64), version, version === '3.2.0' ? 2 : 1)
      if (number % 40 === 1) alert.run(id, number % 200 === 1 ? 'critical' : 'warning', nowMs - 600_000)
    }
  })
  measure(database, { device: 'cam-00001', nowMs })
  database.close()
}

const HOURS = 6

/** Six hours of one device, a point a minute. */
function measure(database: Database, { device, nowMs }: { device: string; nowMs: number }): void {
  const telemetry = new TelemetryStore({ database, clock: systemClock })
  const series = (name: string, labels: Record<string, string>, of: (minute: number) => number) => ({
    name,
    labels,
    points: Array.from({ length: 60 }, (_, minute): [number, number, number, number, number] => {
      const mean = of(minute)
      return [minute * 60, mean * 0.95, mean, mean * 1.04, mean]
    }),
  })
  telemetry.keep(
    Array.from({ length: HOURS }, (_, hour) => {
      const from = nowMs - (HOURS - hour) * 3_600_000
      const wave = (minute: number) => Math.sin((hour * 60 + minute) / 40)
      return {
        ...{ device, sid: 'seed', seq: hour + 1, step_seconds: 60, from, to: from + 3_599_000 },
        series: [
          series('temperature_celsius', { zone: 'cpu' }, (minute) => 58 + 6 * wave(minute)),
          series('temperature_celsius', { zone: 'gpu' }, (minute) => 66 + 9 * wave(minute - 20)),
          series('memory_used_bytes', {}, (minute) => 5.1e9 + 4e8 * wave(minute)),
          series('gpu_load_percent', {}, (minute) => 55 + 35 * wave(minute + 9)),
        ],
      }
    }),
  )
}

function stateOf(
  id: string,
  { hardware, models }: { hardware: string; models: readonly { name: string; version: string }[] },
): object {
  const version = (name: string) => ({
    version: name,
    release: name === '3.2.0' ? 2 : 1,
    sha256: 'a'.repeat(64),
  })
  return {
    ...{ sid: 'seed', seq: 1, online: true, device: id, limpet: '0.1.0', rev: 4, link: 'up' },
    hardware: { names: ['any', 'arm64', hardware], providers: ['tensorrt', 'cuda', 'cpu'] },
    models: models.map(({ name, version: running }) => ({
      ...{ model: name, running: version(running), previous: null, good: version(running) },
      ...{ assigned: version(running), update: null },
    })),
    quarantine: [],
    events: [],
  }
}
