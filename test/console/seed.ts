/** Ten thousand devices that never were, written straight into a registry's database while it is stopped. */
import { join } from 'node:path'
import { EMBEDDED } from '../../src/app/embedded.ts'
import { openDatabase, transact } from '../../src/kit/database.ts'

const CLASSES = ['orin-nano', 'orin-nx', 'agx-orin', 'x86-64']
const MODELS = ['vision/detector', 'vision/reader', 'audio/listener']

export function seedFleet(state: string, { devices, nowMs }: { devices: number; nowMs: number }): void {
  const database = openDatabase({ addonPath: EMBEDDED.sqlite.path, path: join(state, 'registry.sqlite') })
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
  database.close()
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
