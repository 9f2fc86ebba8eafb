import type { Clock } from '../kit/clock.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Frame } from '../link/frame.ts'
import type { Request } from '../link/messages.ts'
import { type AnswerSources, answer } from './answers.ts'

const LOG = logger('registry')

/** Questions of one device that wait while one is answered; what comes on top is let go, and asked again. */
const WAITING_MAX = 4
/** Devices that are answered at once: each answer holds a chunk or two in memory. */
const AT_ONCE = 64
/** Devices with a question, those among them whose turn has not come. */
const DEVICES_MAX = 20_000
/** Who has waited longer for a first frame asks anew, or another way: the old question needs no answer any more. */
const PATIENCE_MS = 4_000

interface Asked {
  readonly request: Request
  readonly atMs: number
}

interface Queue {
  /** The device's connection that the questions came over. */
  line: number
  readonly waiting: Asked[]
}

export interface DeskParts {
  readonly sources: AnswerSources
  readonly clock: Clock
  readonly send: (device: string, frame: Frame) => Promise<void>
}

/**
 * Answers the questions of many devices, those of one device one after the other. When all of a fleet ask at once, each
 * gets its turn: who is sent away comes back, and then there are twice as many.
 */
export class AnswerDesk {
  readonly #sources: AnswerSources
  readonly #clock: Clock
  readonly #send: DeskParts['send']
  readonly #queues = new Map<string, Queue>()
  /** Those whose turn has not come, in the order in which they came. */
  readonly #standing = new Map<string, Queue>()
  #busy = 0
  #isOpen = true

  constructor({ sources, clock, send }: DeskParts) {
    this.#sources = sources
    this.#clock = clock
    this.#send = send
  }

  take(device: string, request: Request): void {
    const queue = this.#queues.get(device)
    const asked = { request, atMs: this.#clock.elapsed() }
    if (queue === undefined) this.#begin(device, asked)
    else if (request.line > queue.line) {
      // It has come anew, and nobody hears the answers to what it asked before.
      queue.line = request.line
      queue.waiting.splice(0, queue.waiting.length, asked)
    } else if (queue.waiting.length >= WAITING_MAX) {
      throw new EdgeError(
        'queue_full',
        `${WAITING_MAX} questions of this device wait, at most ${WAITING_MAX}`,
      )
    } else queue.waiting.push(asked)
  }

  close(): void {
    this.#isOpen = false
  }

  #begin(device: string, asked: Asked): void {
    if (this.#queues.size >= DEVICES_MAX) {
      throw new EdgeError('queue_full', `${DEVICES_MAX} devices wait for answers, at most ${DEVICES_MAX}`)
    }
    const queue: Queue = { line: asked.request.line, waiting: [asked] }
    this.#queues.set(device, queue)
    if (this.#busy < AT_ONCE) this.#serve(device, queue)
    else this.#standing.set(device, queue)
  }

  #serve(device: string, queue: Queue): void {
    this.#busy += 1
    void this.#answerAll(device, queue).finally(() => {
      this.#queues.delete(device)
      this.#busy -= 1
      for (const [next, waiting] of this.#standing) {
        this.#standing.delete(next)
        this.#serve(next, waiting)
        return
      }
    })
  }

  async #answerAll(device: string, queue: Queue): Promise<void> {
    for (let asked = queue.waiting.shift(); asked !== undefined; asked = queue.waiting.shift()) {
      const { request, atMs } = asked
      if (this.#clock.elapsed() - atMs > PATIENCE_MS) continue
      try {
        await this.#answer(device, { request, queue })
      } catch (error) {
        LOG.warn('registry.answer_failed', { device, op: request.op, reason: messageOf(error) })
      }
    }
  }

  async #answer(device: string, { request, queue }: { request: Request; queue: Queue }): Promise<void> {
    for await (const frame of answer(device, request, this.#sources)) {
      if (!this.#isOpen || request.line !== queue.line) return
      await this.#send(device, frame)
    }
  }
}
