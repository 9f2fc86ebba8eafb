import { statSync } from 'node:fs'
import type { Facts } from '../engines/key.ts'
import { stringAt } from './memory.ts'
import type { Ort } from './ort.ts'

/** Which build of ONNX Runtime this is, as far as what it makes of a model may hang on it. */
export function libraryFacts(ort: Ort): Facts {
  return {
    version: ort.version,
    build: stringAt(ort.functions.GetBuildInfoString() ?? 0),
    bytes: String(statSync(ort.libraryPath, { throwIfNoEntry: false })?.size ?? 0),
  }
}
