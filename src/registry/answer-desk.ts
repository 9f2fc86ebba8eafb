import { EdgeError, messageOf } from '../kit/errors.ts'
import { logger } from '../kit/log.ts'
import type { Frame } from '../link/frame.ts'
import type { Request } from '../link/messages.ts'
import { type AnswerSources, answer } from './answers.ts'

const LOG = logger('registry')

/** Questions of one device that wait while one is answered; what comes on top is let go, and asked again. */
const WAITING_MAX = 4
/** Devices that are answered at once: each answer holds a chunk or two in memory. */
const DEVICES_MAX = 64

interface Queue {
  /** The device's connection that the questions came over. */
  line: number
  readonly waiting: Request[]
}

/** Answers the questions of many devices, those of one device one after the other. */
export class AnswerDesk {
  readonly #sources: AnswerSources
  readonly #send: (device: string, frame: Frame) => Promise<void>
  readonly #queues = new Map<string, Queue>()
  #isOpen = true

  constructor(parts: { sources: AnswerSources; send: (device: string, frame: Frame) => Promise<void> }) {
    this.#sources = parts.sources
    this.#send = parts.send
  }

  take(device: string, request: Request): void {
    const queue = this.#queues.get(device)
    if (queue === undefined) this.#begin(device, request)
    else if (request.line > queue.line) {
      // It has come anew, and nobody hears the answers to what it asked before.
      queue.line = request.line
      queue.waiting.splice(0, queue.waiting.length, request)
    } else if (queue.waiting.length >= WAITING_MAX) {
      throw new EdgeError(
        'queue_full',
        `${WAITING_MAX} questions of this device wait, at most ${WAITING_MAX}`,
      )
    } else queue.waiting.push(request)
  }

  close(): void {
    this.#isOpen = false
  }

  #begin(device: string, request: Request): void {
    if (this.#queues.size >= DEVICES_MAX) {
      throw new EdgeError('queue_full', `${DEVICES_MAX} devices are being answered, at most ${DEVICES_MAX}`)
    }
    const queue: Queue = { line: request.line, waiting: [request] }
    this.#queues.set(device, queue)
    void this.#answerAll(device, queue).finally(() => this.#queues.delete(device))
  }

  async #answerAll(device: string, queue: Queue): Promise<void> {
    for (let request = queue.waiting.shift(); request !== undefined; request = queue.waiting.shift()) {
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
