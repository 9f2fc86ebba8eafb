import type { Lane } from '../inference/lane.ts'
import type { TensorSpec } from '../runtime/backend.ts'
import { elementCount } from '../runtime/datatypes.ts'

/** So much still reads well on a terminal. */
const ELEMENTS_MAX = 64

/** A curl line that works when pasted: asks the model with the smallest inputs, or lists the models. */
export function exampleCurl(url: string, lanes: readonly Lane[]): string {
  const candidates = lanes
    .map((each) => ({ each, elements: countElements(each) }))
    .filter(({ each, elements }) => elements <= ELEMENTS_MAX && required(each).every(isPlain))
    .sort((a, b) => a.elements - b.elements)
  const lane = candidates[0]?.each
  if (lane === undefined) return `curl -s -X POST ${url}/v2/repository/index`
  const inputs = required(lane).map((spec) => ({
    name: spec.name,
    datatype: spec.datatype,
    shape: shapeOf(spec),
    data: Array.from({ length: elementCount(shapeOf(spec)) }, (_, index) => exampleValue(spec, index)),
  }))
  const sequence = { sequence_id: 1, sequence_start: true, sequence_end: true }
  const body = lane.sequences === undefined ? { inputs } : { inputs, parameters: sequence }
  return `curl -s ${url}/v2/models/${lane.model}/infer -d '${JSON.stringify(body)}'`
}

const required = ({ session }: Lane): TensorSpec[] =>
  session.signature.inputs.filter((spec) => !spec.isOptional)

/** The batch may be open; where more is, an image of one pixel would be sent. */
function isPlain({ shape }: TensorSpec): boolean {
  return shape?.slice(1).every((dimension) => dimension !== -1) ?? false
}

function countElements(lane: Lane): number {
  return required(lane).reduce((sum, spec) => sum + elementCount(shapeOf(spec)), 0)
}

/** Open dimensions are 1; most models take that. */
function shapeOf(spec: TensorSpec): number[] {
  return (spec.shape ?? []).map((dimension) => (dimension === -1 ? 1 : dimension))
}

function exampleValue({ datatype }: TensorSpec, index: number): number | string | boolean {
  if (datatype === 'BYTES') return `text ${index}`
  return datatype === 'BOOL' ? index % 2 === 0 : index
}
