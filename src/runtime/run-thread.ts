/** Entry of a run thread: takes slots from the ring and makes the native call that each holds, until told to stop. */
import { bindFunction } from './ort-function.ts'
import { beNicer } from './priority.ts'
import { runProgram } from './program.ts'
import {
  CONTROL,
  OPERATIONS,
  PROGRAM,
  RING,
  SLOT,
  SLOT_NUMBERS,
  STATE,
  type ThreadStart,
} from './run-protocol.ts'
import { threadMs } from './thread-time.ts'
import { bindWake } from './wake-line.ts'

declare const self: { onmessage: ((event: { data: ThreadStart }) => void) | null }

self.onmessage = ({ data }) => {
  self.onmessage = null
  if (data.nice > 0) beNicer(data.nice)
  const control = new Int32Array(data.control)
  const numbers = new Float64Array(data.slots)
  const calls = OPERATIONS.map((name) => bindFunction(data.apiAddress, data.apiVersion, name))
  const wake = bindWake(data.wakeFd)
  Atomics.add(control, CONTROL.ready, 1)
  Atomics.notify(control, CONTROL.ready)

  for (;;) {
    const slot = takeSlot(control)
    if (slot < 0) return
    const at = slot * SLOT_NUMBERS
    const args = numbers.subarray(at + SLOT.args, at + SLOT.status)
    const operation = numbers[at + SLOT.operation] ?? 0
    const began = performance.now()
    const busy = threadMs()
    numbers[at + SLOT.status] =
      operation === PROGRAM ? runProgram(calls, args[0] ?? 0) : (calls[operation]?.(...args) ?? 0)
    numbers[at + SLOT.busyMs] = threadMs() - busy
    numbers[at + SLOT.tookMs] = performance.now() - began
    Atomics.store(control, CONTROL.state + slot, STATE.done)
    // After the state: the main thread takes the flag back before it looks.
    if (Atomics.exchange(control, CONTROL.isWoken, 1) === 0) wake()
  }
}

/** The next slot to work on, or -1 to stop. Sleeps while there is none. */
function takeSlot(control: Int32Array): number {
  for (;;) {
    // In this order: a head that is read after the tail may have passed it meanwhile, and name a place never written.
    const head = Atomics.load(control, CONTROL.head)
    const tail = Atomics.load(control, CONTROL.tail)
    if (head === tail) {
      if (Atomics.load(control, CONTROL.stop) === 1) return -1
      Atomics.wait(control, CONTROL.tail, tail)
      continue
    }
    // Read before it is claimed: once claimed, the place may be written again.
    const slot = Atomics.load(control, CONTROL.ring + (head & (RING - 1)))
    if (Atomics.compareExchange(control, CONTROL.head, head, (head + 1) | 0) === head) return slot
  }
}
