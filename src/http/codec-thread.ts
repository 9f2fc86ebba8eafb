/** Entry of a codec thread: does one piece of work after the other, as it is told. */
import { EdgeError, messageOf } from '../kit/errors.ts'
import type { Tensor } from '../runtime/backend.ts'
import { viewAt } from '../runtime/memory.ts'
import type { CodecOrder, CodecReply, PlacedAnswer, PlacedTensor } from './codec-messages.ts'
import { type AnswerParts, WORK } from './codec-work.ts'
import type { EncodedAnswer } from './compress.ts'

declare const self: {
  onmessage: ((event: { data: CodecOrder }) => void) | null
  postMessage(reply: CodecReply, transfer: ArrayBuffer[]): void
}

self.onmessage = ({ data: { work, input } }) => {
  try {
    const result = work === 'answer' ? writeAnswer(input as PlacedAnswer) : WORK[work](input as never)
    self.postMessage({ result }, listBuffers(result))
  } catch (error) {
    if (error instanceof EdgeError) {
      self.postMessage({ refused: { code: error.code, message: error.message } }, [])
    } else {
      self.postMessage(
        { failed: error instanceof Error ? (error.stack ?? error.message) : messageOf(error) },
        [],
      )
    }
  }
}

const encoder = new TextEncoder()

/** As bytes: text would have to be turned into them on the main thread. */
function writeAnswer(parts: PlacedAnswer): EncodedAnswer {
  const outputs = parts.outputs.map((output) => ('address' in output ? view(output) : output))
  const { body, headers } = WORK.answer({ ...parts, outputs } satisfies AnswerParts)
  return { body: typeof body === 'string' ? encoder.encode(body) : body, headers }
}

function view({ address, byteLength, ...described }: PlacedTensor): Tensor {
  return { ...described, bytes: viewAt(address, byteLength) }
}

/** Each once, however many views there are of it. */
function listBuffers(result: unknown): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>()
  const look = (value: unknown) => {
    if (value instanceof Uint8Array) found.add(value.buffer as ArrayBuffer)
    else if (value instanceof Map || Array.isArray(value)) for (const each of value.values()) look(each)
    else if (typeof value === 'object' && value !== null) for (const each of Object.values(value)) look(each)
  }
  look(result)
  return [...found]
}
