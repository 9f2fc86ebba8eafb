/** The processes that devices run in. */
import { join } from 'node:path'
import type { Enrolled } from './central.ts'
import type { Looked, Order, Reply, Start, Told } from './protocol.ts'

const WORKER = join(import.meta.dir, '../fleet-worker.ts')
const HARDWARE = ['x64', 'jetson-orin-nano', 'jetson-agx-orin']
const REPLY_MS_MAX = 120_000

interface Worker {
  readonly child: Bun.Subprocess
  readonly replies: Reply[]
  wake: () => void
}

export class Crew {
  readonly #workers: Worker[] = []
  readonly #broken: string[] = []

  /** Devices are dealt out evenly; they begin over so long. */
  async start(
    devices: readonly Enrolled[],
    options: Omit<Start, 'kind' | 'devices' | 'folder'> & { folder: string; workers: number },
  ): Promise<void> {
    const { folder, workers, ...rest } = options
    const starting = Array.from({ length: workers }, async (_, at) => {
      const mine = devices
        .map((device, index) => ({ ...device, hardware: HARDWARE[index % HARDWARE.length] ?? '' }))
        .filter((_device, index) => index % workers === at)
      const worker = this.#spawn()
      await this.#ask(
        worker,
        { kind: 'start', devices: mine, folder: join(folder, `worker-${at}`), ...rest },
        'started',
      )
    })
    await Promise.all(starting)
  }

  async look(): Promise<Omit<Looked, 'kind'>> {
    const looks = (await this.#askAll({ kind: 'look' }, 'looked')) as Looked[]
    const running: Record<string, number> = {}
    for (const look of looks)
      for (const [version, count] of Object.entries(look.running))
        running[version] = (running[version] ?? 0) + count
    const sum = (of: (look: Looked) => number) => looks.reduce((total, look) => total + of(look), 0)
    return {
      devices: sum((look) => look.devices),
      up: sum((look) => look.up),
      heartbeats: sum((look) => look.heartbeats),
      busy: sum((look) => look.busy),
      verified: sum((look) => look.verified),
      untold: sum((look) => look.untold),
      residentBytes: sum((look) => look.residentBytes),
      cpuSeconds: sum((look) => look.cpuSeconds),
      running,
    }
  }

  async tell(): Promise<Told['devices']> {
    const all = (await this.#askAll({ kind: 'tell' }, 'told')) as Told[]
    return Object.assign({}, ...all.map(({ devices }) => devices)) as Told['devices']
  }

  async stop(): Promise<void> {
    for (const { child } of this.#workers) child.kill('SIGKILL')
    await Promise.all(this.#workers.map(({ child }) => child.exited))
  }

  #spawn(): Worker {
    const worker: Worker = {
      replies: [],
      wake: () => undefined,
      child: Bun.spawn([process.execPath, WORKER], {
        stdin: 'ignore',
        stdout: 'inherit',
        stderr: 'inherit',
        ipc: (message: Reply) => {
          if (message.kind === 'broken') this.#broken.push(message.reason)
          else worker.replies.push(message)
          worker.wake()
        },
      }),
    }
    void worker.child.exited.then((code) => {
      this.#broken.push(`a process of devices has ended with ${code}`)
      worker.wake()
    })
    this.#workers.push(worker)
    return worker
  }

  #askAll(order: Order, kind: Reply['kind']): Promise<Reply[]> {
    return Promise.all(this.#workers.map((worker) => this.#ask(worker, order, kind)))
  }

  async #ask(worker: Worker, order: Order, kind: Reply['kind']): Promise<Reply> {
    worker.child.send(order)
    for (;;) {
      if (this.#broken.length > 0) throw new Error(`Devices broke: ${this.#broken.join('; ')}`)
      const at = worker.replies.findIndex((each) => each.kind === kind)
      const [reply] = at < 0 ? [] : worker.replies.splice(at, 1)
      if (reply !== undefined) return reply
      const { promise, resolve } = Promise.withResolvers<void>()
      worker.wake = resolve
      const timer = setTimeout(resolve, REPLY_MS_MAX)
      await promise
      clearTimeout(timer)
    }
  }
}
