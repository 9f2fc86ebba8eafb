import { assert } from '../kit/assert.ts'
import type { Clock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Random } from '../kit/random.ts'
import type { Command } from '../link/commands.ts'
import { encodeFrame, type Frame } from '../link/frame.ts'
import {
  type DeviceEvent,
  DeviceEvents,
  DeviceState,
  decodeMessage,
  encodeMessage,
  Heartbeat,
  Request,
  type Synced,
  Telemetry,
} from '../link/messages.ts'
import type { Topics } from '../link/topics.ts'
import { AnswerDesk } from './answer-desk.ts'
import type { AnswerSources } from './answers.ts'
import type { Assignments, Issued } from './assignments.ts'
import type { BrokerLine } from './broker.ts'
import { CommandSender } from './command-sender.ts'
import type { Commands } from './commands.ts'
import type { Devices } from './devices.ts'
import { EventIntake } from './event-intake.ts'
import type { Liveness } from './liveness.ts'
import { StateIntake } from './state-intake.ts'
import type { TelemetryStore } from './telemetry.ts'
import { TelemetryIntake } from './telemetry-intake.ts'
import type { Traffic } from './traffic.ts'

const LOG = logger('registry')

/** Life signs are written down together: one for each is more than a disk should bear. */
const SEEN_MS = 5_000

export interface ServiceParts extends Omit<AnswerSources, 'sync' | 'readAssignment'> {
  readonly clock: Clock
  readonly random: Random
  readonly topics: Topics
  readonly devices: Devices
  readonly assignments: Assignments
  readonly commands: Commands
  readonly liveness: Liveness
  readonly telemetry: TelemetryStore
  readonly traffic: Traffic
}

/** The registry's side of the line: hears what devices say, answers what they ask, tells them what they should run. */
export class MqttService {
  /** Of this run of the registry. */
  readonly sid: string
  readonly #parts: ServiceParts
  readonly #desk: AnswerDesk
  readonly #seen = new Set<string>()
  readonly #commands: CommandSender
  readonly #events: EventIntake
  readonly #telemetry: TelemetryIntake
  readonly #states: StateIntake
  readonly #stop = new AbortController()
  #line: BrokerLine | undefined

  constructor(parts: ServiceParts) {
    this.#parts = parts
    this.sid = parts.random.bytes(8).toHex()
    this.#events = new EventIntake({
      devices: parts.devices,
      commands: parts.commands,
      traffic: parts.traffic,
      acknowledge: (device, event) => this.#acknowledge(device, event),
    })
    this.#commands = new CommandSender({
      commands: parts.commands,
      publish: (device, command) => this.#publishCommand(device, command),
    })
    this.#telemetry = new TelemetryIntake({
      store: parts.telemetry,
      clock: parts.clock,
      acknowledge: (device, item) => this.#acknowledge(device, item),
    })
    this.#states = new StateIntake(parts)
    this.#desk = new AnswerDesk({
      clock: parts.clock,
      sources: {
        ...parts,
        sync: (device, rev) => this.#sync(device, rev),
        readAssignment: (device) => parts.assignments.current(device)?.envelope,
      },
      send: (device, frame) => this.#send(device, frame),
    })
  }

  /** From here on it speaks. Messages may have come before: what they ask is answered now. */
  start(line: BrokerLine): void {
    this.#line = line
    this.#parts.liveness.listenWhile(() => line.isUp)
    void this.#noteSeen()
    void this.#commands.run({ clock: this.#parts.clock, stop: this.#stop.signal })
    void this.#telemetry.keepTidy()
  }

  async stop(): Promise<void> {
    await this.#sayState(false).catch(() => undefined)
    this.#stop.abort()
    this.#desk.close()
    this.#events.flush()
    this.#telemetry.close()
    this.#states.flush()
    this.#flushSeen()
  }

  /** Says that the registry is here, and what its metadata is: at the start, and when a broker has come back. */
  async announce(): Promise<void> {
    this.#parts.liveness.listenAnew()
    await this.#sayState(true)
    await this.announceMetadata()
  }

  /** The timestamp as it is: another version of it says "refresh". */
  async announceMetadata(): Promise<void> {
    const payload = await this.#parts.readMetadata('timestamp.json')
    if (payload !== undefined) await this.#publish(this.#parts.topics.registryMeta, payload, { retain: true })
  }

  /** What was asked of devices that are there goes out at once. */
  sendCommands(): void {
    this.#commands.sendDue()
  }

  /** Only a pointer: what is wanted is fetched, and believed for its signature. */
  async announceDesired(issued: readonly Pick<Issued, 'device' | 'rev' | 'sha256'>[]): Promise<void> {
    for (const { device, rev, sha256 } of issued) {
      await this.#publish(this.#parts.topics.down(device, 'desired'), encodeMessage({ rev, sha256 }), {
        retain: true,
      })
    }
  }

  /** Never throws: what a device says is its business, and a broken message must not stop the others. */
  take(topic: string, payload: Uint8Array): void {
    const from = this.#parts.topics.parseUp(topic)
    if (from === undefined) return
    const { device, kind } = from
    const { traffic } = this.#parts
    traffic.messages[kind] += 1
    try {
      // Behind another broker somebody may speak whom that broker knows and we do not.
      if (!this.#parts.devices.has(device)) throw new EdgeError('not_found', 'no such device is enrolled')
      this.#seen.add(device)
      if (kind === 'req') this.#desk.take(device, decodeMessage(Request, payload))
      else if (kind === 'ev') this.#takeEvents(device, decodeMessage(DeviceEvents, payload))
      else if (kind === 'tm') this.#telemetry.take(device, decodeMessage(Telemetry, payload))
      else if (kind === 'state') {
        const state = decodeMessage(DeviceState, payload)
        this.#states.take({ ...state, device, body: state })
      } else this.#takeHeartbeat(device, decodeMessage(Heartbeat, payload))
    } catch (error) {
      traffic.refused[kind] += 1
      if (error instanceof EdgeError)
        LOG.warn('registry.message_refused', { device, kind, reason: error.message })
      else LOG.error('registry.message_failed', { device, kind, reason: messageOf(error) })
    }
  }

  #takeHeartbeat(device: string, heartbeat: Heartbeat): void {
    this.#parts.traffic.noteHeartbeat(device, heartbeat)
    this.#parts.liveness.note(device, heartbeat)
  }

  #takeEvents(device: string, { sid, events }: DeviceEvents): void {
    for (const event of events) this.#events.take(device, { ...event, sid })
  }

  #acknowledge(device: string, { sid, seq }: Pick<DeviceEvent, 'sid' | 'seq'>): void {
    const frame = {
      kind: 'ack',
      isZstd: false,
      request: 0,
      item: seq,
      part: 0,
      parts: 1,
      bytes: Buffer.from(sid),
    } as const
    this.#send(device, frame).catch((error: unknown) => this.#complain(device, error))
  }

  #complain(device: string, error: unknown): void {
    LOG.warn('registry.answer_failed', { device, reason: messageOf(error) })
  }

  #sync(device: string, rev: number): Synced {
    const { assignments, clock } = this.#parts
    const issued = assignments.catchUp(device, rev)
    this.#commands.greet(device)
    const desired = issued === undefined ? null : { rev: issued.rev, sha256: issued.sha256 }
    return { sid: this.sid, desired, time_ms: clock.now() }
  }

  async #send(device: string, frame: Frame): Promise<void> {
    await this.#publish(this.#parts.topics.down(device, 'rsp'), encodeFrame(frame), { qos: 0 })
  }

  async #publishCommand(device: string, command: Command): Promise<void> {
    await this.#publish(this.#parts.topics.down(device, 'cmd'), encodeMessage(command), {})
  }

  async #sayState(online: boolean): Promise<void> {
    const state = {
      online,
      ts: this.#parts.clock.now(),
      sid: this.sid,
      pv: [1],
      devices: this.#parts.devices.count,
    }
    await this.#publish(this.#parts.topics.registryState, encodeMessage(state), { retain: true })
  }

  async #publish(topic: string, payload: Uint8Array, how: { qos?: 0 | 1; retain?: boolean }): Promise<void> {
    assert(this.#line !== undefined, 'the service speaks only after it has been started')
    await this.#line.publish({ topic, payload, qos: how.qos ?? 1, retain: how.retain ?? false })
  }

  async #noteSeen(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#parts.clock.sleep(SEEN_MS, this.#stop.signal)
      this.#flushSeen()
    }
  }

  #flushSeen(): void {
    this.#parts.devices.markSeen([...this.#seen])
    this.#seen.clear()
  }
}
