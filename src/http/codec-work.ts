import type { Signature, Tensor } from '../runtime/backend.ts'
import { classifyOutput, type Labels } from './classification.ts'
import type { EncodedAnswer } from './compress.ts'
import { asObject } from './fields.ts'
import { decodeGenerateRequest } from './generate-request.ts'
import { encodeGenerated } from './generate-response.ts'
import { type DecodedRequest, type ParsedRequest, parseInferRequest } from './infer-request.ts'
import { encodeInferResponse } from './infer-response.ts'
import { parseJsonObject } from './json-body.ts'
import { type LoadParameters, readLoadParameters } from './load-parameters.ts'
import type { WantedOutput } from './wanted-outputs.ts'

/** What has to be known to write an answer. Outputs in shared memory have been written there already. */
export interface AnswerParts {
  /** An infer response, or the generate extension's object, by itself or as an event. */
  readonly form: 'infer' | 'flat' | 'event'
  readonly id: string
  readonly model: string
  readonly version: string
  readonly outputs: readonly Tensor[]
  readonly wants: Pick<DecodedRequest, 'outputs' | 'isBinaryOutput'>
  /** What the classes of each output are called; empty where none is to be classified. */
  readonly labels: readonly Labels[]
}

/**
 * What is done with bodies and answers, as functions of what goes in: on the main thread while it is little, on another
 * one when it is much (codec.ts). Either way it is these.
 */
export const WORK = {
  infer: ({ body, headerLength }: { body: ArrayBuffer; headerLength: string | null }): ParsedRequest =>
    parseInferRequest(body, headerLength),

  generate: (from: { body: ArrayBuffer; signature: Signature; batchSizeMax: number }): DecodedRequest => {
    const { body, signature, batchSizeMax } = from
    return decodeGenerateRequest(body, { batchSizeMax, session: { signature } })
  },

  load: ({ body, model }: { body: ArrayBuffer; model: string }): LoadParameters | undefined => {
    const { parameters = {} } = parseJsonObject(body)
    return readLoadParameters(model, asObject(parameters, '"parameters"'))
  },

  answer: (parts: AnswerParts): EncodedAnswer => {
    const { form, wants, labels } = parts
    if (form !== 'infer') return encodeGenerated(parts, { isStream: form === 'event' })
    if (labels.length === 0) return encodeInferResponse(parts, wants)
    const outputs = classifyWanted(parts.outputs, wants.outputs ?? [], labels)
    return encodeInferResponse({ ...parts, outputs }, wants)
  },
} as const

export type WorkName = keyof typeof WORK
export type WorkInput<Name extends WorkName> = Parameters<(typeof WORK)[Name]>[0]
export type WorkResult<Name extends WorkName> = ReturnType<(typeof WORK)[Name]>

function classifyWanted(
  outputs: readonly Tensor[],
  wants: readonly WantedOutput[],
  labels: readonly Labels[],
): Tensor[] {
  return outputs.map((output, index) => {
    const classes = wants[index]?.classes
    return classes === undefined ? output : classifyOutput(output, { classes, labels: labels[index] })
  })
}
