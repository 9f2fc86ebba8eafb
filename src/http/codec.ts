import { present } from '../kit/assert.ts'
import { BugError, EdgeError, type ErrorCode } from '../kit/errors.ts'
import type { Tensor } from '../runtime/backend.ts'
import { addressOf } from '../runtime/memory.ts'
import type { CodecOrder, CodecReply, PlacedAnswer, PlacedTensor } from './codec-messages.ts'
import { type AnswerParts, WORK, type WorkInput, type WorkName, type WorkResult } from './codec-work.ts'
import type { EncodedAnswer } from './compress.ts'
import type { WantedOutput } from './wanted-outputs.ts'

/**
 * From so many bytes of JSON on: below, decoding takes 2 ms, or 12 where 64-bit integers have to be read exactly, and the
 * way to another thread and back costs a third more of the processor.
 */
const DECODED_BYTES_MIN = 655_360
/** The same of elements that are to be written as JSON, which takes about 27 ns a byte. */
const WRITTEN_BYTES_MIN = 32_768
/** The second so that one body of many megabytes does not hold up all others. */
const THREADS_MAX = 2
const WAITING_MAX = 256
/** What is shorter is copied to the other thread. */
const PLACED_BYTES_MIN = 4_096

declare const LIMPET_CODEC_THREAD: string | undefined

/** Where the threads' code is: beside this file in a checkout; in the binary `scripts/build.ts` says where. */
const CODEC_THREAD =
  typeof LIMPET_CODEC_THREAD === 'string'
    ? LIMPET_CODEC_THREAD
    : new URL('./codec-thread.ts', import.meta.url).href

interface Order {
  readonly work: WorkName
  readonly input: unknown
  readonly transfer: readonly ArrayBuffer[]
  readonly done: (result: unknown) => void
  readonly failed: (error: Error) => void
}

interface Thread {
  readonly worker: Worker
  order: Order | undefined
}

/** Decodes bodies and writes answers: small ones here and now, large ones on threads that are started when first needed. */
export class Codec {
  readonly #threads: Thread[] = []
  readonly #waiting: Order[] = []

  decode<Name extends 'infer' | 'generate' | 'load'>(
    name: Name,
    input: WorkInput<Name> & { readonly body: ArrayBuffer },
    jsonBytes = input.body.byteLength,
  ): WorkResult<Name> | Promise<WorkResult<Name>> {
    if (jsonBytes < DECODED_BYTES_MIN) return WORK[name](input as never) as WorkResult<Name>
    return this.#order(name, input, [input.body]) as Promise<WorkResult<Name>>
  }

  /** The outputs have to stay where they are until the answer is there. */
  encode(parts: AnswerParts): EncodedAnswer | Promise<EncodedAnswer> {
    if (writtenBytes(parts) < WRITTEN_BYTES_MIN) return WORK.answer(parts)
    const outputs = parts.outputs.map(place)
    const wants = { ...parts.wants, outputs: parts.wants.outputs?.map(withoutShared) }
    const placed: PlacedAnswer = { ...parts, outputs, wants }
    return this.#order('answer', placed, []) as Promise<EncodedAnswer>
  }

  /** After all lanes are closed: a thread that writes an answer reads outputs that are theirs. What waits is refused. */
  stop(): void {
    const threads = this.#threads.splice(0)
    for (const { worker } of threads) worker.terminate()
    const unfinished = [...threads.flatMap(({ order }) => order ?? []), ...this.#waiting.splice(0)]
    for (const { work, failed } of unfinished)
      failed(new EdgeError('stopping', `Cannot finish "${work}": the server is stopping`))
  }

  #order(work: WorkName, input: unknown, transfer: readonly ArrayBuffer[]): Promise<unknown> {
    if (this.#waiting.length >= WAITING_MAX) {
      throw new EdgeError(
        'queue_full',
        `Cannot admit request: ${WAITING_MAX} large bodies and answers wait already, at most that many`,
      )
    }
    return new Promise((done, failed) => {
      this.#waiting.push({ work, input, transfer, done, failed })
      this.#advance()
    })
  }

  #advance(): void {
    while (this.#waiting.length > 0) {
      const thread = this.#threads.find((each) => each.order === undefined) ?? this.#startThread()
      if (thread === undefined) return
      const order = present(this.#waiting.shift(), 'something waits')
      thread.order = order
      const { work, input, transfer } = order
      thread.worker.postMessage({ work, input } satisfies CodecOrder, [...transfer])
    }
  }

  #startThread(): Thread | undefined {
    if (this.#threads.length >= THREADS_MAX) return undefined
    const thread: Thread = { worker: new Worker(CODEC_THREAD), order: undefined }
    thread.worker.onmessage = ({ data }: { data: CodecReply }) => {
      const order = present(thread.order, 'a thread answers what it was asked')
      thread.order = undefined
      settle(order, data)
      this.#advance()
    }
    // What it throws is answered; this is a thread that has ended, or could not begin.
    thread.worker.onerror = ({ message }) => {
      this.#threads.splice(this.#threads.indexOf(thread), 1)
      thread.worker.terminate()
      thread.order?.failed(new BugError(`A codec thread failed: ${message}`))
      this.#advance()
    }
    this.#threads.push(thread)
    return thread
  }
}

function settle(order: Order, reply: CodecReply): void {
  if ('result' in reply) order.done(reply.result)
  else if ('refused' in reply)
    order.failed(new EdgeError(reply.refused.code as ErrorCode, reply.refused.message))
  else order.failed(new BugError(reply.failed))
}

/** Of the elements that become text or are looked through for the largest. */
function writtenBytes({ outputs, wants }: AnswerParts): number {
  let bytes = 0
  for (let index = 0; index < outputs.length; index += 1) {
    const wanted = wants.outputs?.[index]
    const isBinary = wanted === undefined ? wants.isBinaryOutput : wanted.isBinary
    const isWritten = wanted?.shared === undefined && (!isBinary || wanted?.classes !== undefined)
    if (isWritten) bytes += outputs[index]?.bytes.byteLength ?? 0
  }
  return bytes
}

function place(output: Tensor): Tensor | PlacedTensor {
  const { bytes, ...described } = output
  if (bytes.byteLength < PLACED_BYTES_MIN) return { ...described, bytes: bytes.slice() }
  return { ...described, address: addressOf(bytes), byteLength: bytes.byteLength }
}

/** It has been written to; what is left to know is that it is there. */
function withoutShared(wanted: WantedOutput): WantedOutput {
  return wanted.shared === undefined ? wanted : { ...wanted, shared: new Uint8Array(0) }
}
