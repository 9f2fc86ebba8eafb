import { EdgeError, messageOf } from '../kit/errors.ts'
import { pathProblem, type SentFiles } from '../store/sent-files.ts'
import { type Json, show } from './fields.ts'

/** What a client says of a model instead of its folder. */
export interface LoadParameters {
  /** Triton's `ModelConfig` as JSON, in place of the config in the folder. */
  readonly config: string
  /** The whole model, where there is any; the folder is not looked at then. */
  readonly files: SentFiles
}

const FILE = 'file:'
const FILES_MAX = 256

/** Undefined where a model is loaded as its folder is. */
export function readLoadParameters(model: string, parameters: Json): LoadParameters | undefined {
  const fail = (what: string, cause?: unknown): never => {
    throw new EdgeError('input_invalid', `failed to load '${model}', ${what}`, { cause })
  }
  const texts = Object.entries(parameters).map(([key, value]): [string, string] => {
    if (key !== 'config' && !key.startsWith(FILE)) {
      fail(`parameter ${show(key)} is not supported, expected "config" and "${FILE}VERSION/model.onnx"`)
    }
    return typeof value === 'string'
      ? [key, value]
      : fail(`parameter ${show(key)} is ${show(value)}, expected a text`)
  })
  if (texts.length === 0) return undefined
  const config = texts.find(([key]) => key === 'config')?.[1]
  if (config === undefined) return fail(`parameter ${show(texts[0]?.[0])} needs "config" beside it`)
  const encoded = texts.filter(([key]) => key !== 'config')
  if (encoded.length > FILES_MAX) return fail(`there are ${encoded.length} files, at most ${FILES_MAX}`)
  // Before anything is decoded: what is refused should cost little.
  const problem = pathProblem(encoded.map(([key]) => key.slice(FILE.length)))
  if (problem !== undefined) return fail(problem)
  const files = encoded.map(([key, text]): [string, Uint8Array] => [
    key.slice(FILE.length),
    decodeBase64(text, (cause) => fail(`parameter ${show(key)} is no base64: ${messageOf(cause)}`, cause)),
  ])
  return { config, files: new Map(files) }
}

function decodeBase64(text: string, fail: (cause: unknown) => never): Uint8Array {
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: 'strict' })
  } catch (cause) {
    return fail(cause)
  }
}
