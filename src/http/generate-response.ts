import type { Tensor } from '../runtime/backend.ts'
import type { EncodedAnswer } from './compress.ts'
import type { Answer } from './infer-response.ts'
import { encodeJsonData } from './json-tensor.ts'

const STREAM_HEADERS = { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache' }
const JSON_HEADERS = { 'Content-Type': 'application/json' }

/** The generate extension's flat object. Models here answer once, so a stream is one event. */
export function encodeGenerated(answer: Answer, how: { isStream: boolean }): EncodedAnswer {
  const { id, model, version, outputs } = answer
  const head = { ...(id === '' ? {} : { id }), model_name: model, model_version: version }
  const json = `${JSON.stringify(head).slice(0, -1)}${outputs.map(writeOutput).join('')}}`
  return how.isStream
    ? { body: `data: ${json}\n\n`, headers: STREAM_HEADERS }
    : { body: json, headers: JSON_HEADERS }
}

/** One element stands by itself, several are a list, row by row. */
function writeOutput(output: Tensor): string {
  const list = encodeJsonData(output)
  const isSingle = output.shape.every((size) => size === 1)
  return `,${JSON.stringify(output.name)}:${isSingle ? list.slice(1, -1) : list}`
}
