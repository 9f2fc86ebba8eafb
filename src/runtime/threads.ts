import { assert, present } from '../kit/assert.ts'
import { EdgeError } from '../kit/errors.ts'
import {
  CONTROL,
  CONTROL_WORDS,
  OPERATIONS,
  type Operation,
  PROGRAM,
  RING,
  SLOT,
  SLOT_NUMBERS,
  SLOTS,
  STATE,
  type ThreadStart,
} from './run-protocol.ts'
import { WakeLine } from './wake-line.ts'

interface Call {
  readonly operation: Operation
  readonly args: readonly number[]
  readonly done: (outcome: CallOutcome) => void
  readonly failed: (error: Error) => void
}

export interface CallOutcome {
  /** The address of an `OrtStatus`, 0 for success. */
  readonly status: number
  /** Time inside the native call, milliseconds. */
  readonly tookMs: number
  /** Of them on the processor, where that was measured. */
  readonly busyMs?: number | undefined
}

declare const LIMPET_RUN_THREAD: string | undefined

/** Where the threads' code is: beside this file in a checkout; in the binary `scripts/build.ts` says where. */
const RUN_THREAD =
  typeof LIMPET_RUN_THREAD === 'string' ? LIMPET_RUN_THREAD : new URL('./run-thread.ts', import.meta.url).href

/**
 * Worker threads that make native calls which would hold up the main thread. All threads of one pool take from one
 * ring (see run-protocol.ts). The caller keeps everything that the arguments point to alive until its call is done.
 */
export class Threads {
  readonly #control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4))
  readonly #numbers = new Float64Array(new SharedArrayBuffer(SLOTS * SLOT_NUMBERS * 8))
  readonly #workers: Worker[]
  readonly #free = Array.from({ length: SLOTS }, (_, slot) => slot)
  readonly #running = new Map<number, Call>()
  readonly #waiting: Call[] = []
  readonly #line: WakeLine
  #broken: Error | undefined

  constructor(
    api: { apiAddress: number; apiVersion: number },
    { count, nice }: { count: number; nice: number },
  ) {
    assert(count >= 1, 'a pool has at least one thread')
    this.#line = new WakeLine({ onWake: () => this.#onWake(), onBroken: (error) => this.#break(error) })
    const start: ThreadStart = {
      control: this.#control.buffer,
      slots: this.#numbers.buffer,
      apiAddress: api.apiAddress,
      apiVersion: api.apiVersion,
      wakeFd: this.#line.fd,
      nice,
    }
    this.#workers = Array.from({ length: count }, () => this.#startWorker(start))
  }

  get count(): number {
    return this.#workers.length
  }

  /** Calls that have not come back. */
  get pending(): number {
    return this.#running.size + this.#waiting.length
  }

  call(operation: Operation, args: readonly number[]): Promise<CallOutcome> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken)
    return new Promise((done, failed) => {
      this.#waiting.push({ operation, args, done, failed })
      this.#submit()
    })
  }

  /** Lets the threads end once the ring is empty. Nothing may be called afterwards. */
  async stop(): Promise<void> {
    assert(this.pending === 0, 'a pool is stopped after its last call has come back')
    this.#broken = new EdgeError('stopping', 'Cannot call: the threads have been stopped')
    Atomics.store(this.#control, CONTROL.stop, 1)
    // The threads sleep on the tail: it has to change for them to look at the stop flag.
    Atomics.add(this.#control, CONTROL.tail, 0)
    Atomics.notify(this.#control, CONTROL.tail)
    this.#line.stop()
    let left = this.#workers.length
    for (const worker of this.#workers) {
      worker.addEventListener('close', () => {
        left -= 1
        if (left === 0) this.#line.close()
      })
      worker.terminate()
    }
  }

  #startWorker(start: ThreadStart): Worker {
    const worker = new Worker(RUN_THREAD)
    worker.onerror = (event) =>
      this.#break(new EdgeError('runtime_failed', `A run thread failed: ${event.message}`))
    worker.postMessage(start)
    return worker
  }

  /** A thread that throws has a bug of ours; calls that it held would never come back. */
  #break(error: Error): void {
    this.#broken = error
    for (const call of [...this.#running.values(), ...this.#waiting.splice(0)]) call.failed(error)
    this.#running.clear()
  }

  /** Puts what waits into free slots. */
  #submit(): void {
    while (this.#waiting.length > 0 && this.#free.length > 0) {
      const slot = present(this.#free.pop(), 'a free slot is there')
      const call = present(this.#waiting.shift(), 'a waiting call is there')
      this.#running.set(slot, call)
      this.#write(slot, call)
    }
    this.#line.hold(this.#running.size > 0)
  }

  #write(slot: number, call: Call): void {
    const at = slot * SLOT_NUMBERS
    this.#numbers[at + SLOT.operation] =
      call.operation === 'Program' ? PROGRAM : OPERATIONS.indexOf(call.operation)
    for (let index = 0; index < SLOT.status - SLOT.args; index += 1) {
      this.#numbers[at + SLOT.args + index] = call.args[index] ?? 0
    }
    Atomics.store(this.#control, CONTROL.state + slot, STATE.queued)
    const tail = Atomics.load(this.#control, CONTROL.tail)
    Atomics.store(this.#control, CONTROL.ring + (tail & (RING - 1)), slot)
    Atomics.add(this.#control, CONTROL.tail, 1)
    Atomics.notify(this.#control, CONTROL.tail, 1)
  }

  /** Takes back what is done and hands out what waits. The flag first: what ends from here on wakes again. */
  #onWake(): void {
    Atomics.store(this.#control, CONTROL.isWoken, 0)
    this.#collect()
    this.#submit()
  }

  #collect(): void {
    for (const [slot, call] of this.#running) {
      if (Atomics.load(this.#control, CONTROL.state + slot) !== STATE.done) continue
      Atomics.store(this.#control, CONTROL.state + slot, STATE.free)
      this.#running.delete(slot)
      this.#free.push(slot)
      const at = slot * SLOT_NUMBERS
      call.done({
        status: this.#numbers[at + SLOT.status] ?? 0,
        tookMs: this.#numbers[at + SLOT.tookMs] ?? 0,
        busyMs: this.#numbers[at + SLOT.busyMs],
      })
    }
  }
}
