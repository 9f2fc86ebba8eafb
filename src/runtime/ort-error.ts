/** `OrtErrorCode` of onnxruntime_c_api.h, in the order of its values. */
const ORT_ERROR_CODES = [
  'OK',
  'FAIL',
  'INVALID_ARGUMENT',
  'NO_SUCHFILE',
  'NO_MODEL',
  'ENGINE_ERROR',
  'RUNTIME_EXCEPTION',
  'INVALID_PROTOBUF',
  'MODEL_LOADED',
  'NOT_IMPLEMENTED',
  'INVALID_GRAPH',
  'EP_FAIL',
  'MODEL_LOAD_CANCELED',
  'MODEL_REQUIRES_COMPILATION',
  'NOT_FOUND',
] as const

export type OrtErrorCode = (typeof ORT_ERROR_CODES)[number]

/** A status that ONNX Runtime gave back, with its code and its words. */
export class OrtError extends Error {
  override readonly name = 'OrtError'
  readonly code: OrtErrorCode

  constructor(code: number, message: string) {
    super(message)
    this.code = ORT_ERROR_CODES[code] ?? 'FAIL'
  }
}
