import { EdgeError } from '../kit/errors.ts'
import { type Given, readJsonFile } from './given.ts'
import { describeInputs, explainMissingHint } from './hint-advice.ts'
import { findInputHint } from './hints.ts'
import type { Placement } from './image-placement.ts'
import type { Metadata } from './metadata.ts'
import { createPart, type Part, type Timeline } from './parts.ts'
import type { SourceFile } from './source-file.ts'
import type { Tensor, TensorSpec } from './tensor.ts'
import { quote } from './text.ts'

export type Carried = Extract<Part, { kind: 'carried' }>

/** The requests that a file becomes, one for each step, in this order. */
interface Steps {
  readonly kind: 'steps'
  readonly constants: readonly Tensor[]
  readonly carried: readonly Carried[]
  readonly steps: Iterable<readonly Tensor[]>
  readonly placement?: Placement | undefined
  readonly timeline?: Timeline | undefined
}

/** A request that a person wrote, sent as it is. */
interface WholeRequest {
  readonly kind: 'request'
  readonly text: string
}

export type Plan = Steps | WholeRequest

/** Without a file the run is made of the `--input` options alone; beside one they come first. */
export async function createPlan(
  model: Metadata,
  file: SourceFile | undefined,
  options: ReadonlyMap<string, Given>,
): Promise<Plan> {
  if (file === undefined) return createSteps(model, options)
  if (file.kind !== 'json') {
    const name = chooseInput(model, file.kind, options)
    return createSteps(model, new Map([...options, [name, { kind: file.kind, file }]]))
  }
  const content = readJsonFile(file)
  if (content.kind === 'request') return expectAlone(content, options)
  return createSteps(model, new Map([...content.inputs, ...options]))
}

async function createSteps(model: Metadata, given: ReadonlyMap<string, Given>): Promise<Steps> {
  for (const name of given.keys()) expectInput(model, name)
  const parts: Part[] = []
  for (const input of model.inputs) {
    const part = await createPart(input, findInputHint(model, input.name), given.get(input.name))
    if (part !== undefined) parts.push(part)
  }
  const same = parts.filter((part) => part.kind === 'same')
  const [windows, another] = parts.filter((part) => part.kind === 'windows')
  if (another !== undefined) {
    throw new EdgeError('input_invalid', 'Cannot send two recordings at once: one run takes one audio file')
  }
  return {
    kind: 'steps',
    constants: same.map(({ tensor }) => tensor),
    carried: parts.filter((part) => part.kind === 'carried'),
    steps: windows === undefined ? [[]] : wrapEach(windows.tensors),
    placement: same.find(({ placement }) => placement !== undefined)?.placement,
    timeline: windows?.timeline,
  }
}

function* wrapEach(tensors: Iterable<Tensor>): Generator<readonly Tensor[]> {
  for (const tensor of tensors) yield [tensor]
}

/** The one input that the hints make of such a file and that no option fills. */
function chooseInput(model: Metadata, kind: 'image' | 'audio', options: ReadonlyMap<string, Given>): string {
  const isFitting = ({ name }: TensorSpec) => findInputHint(model, name)?.from === kind && !options.has(name)
  const fitting = model.inputs.filter(isFitting)
  const [first, second] = fitting
  if (first === undefined) throw explainMissingHint(kind, model.inputs)
  if (second === undefined) return first.name
  throw new EdgeError(
    'input_invalid',
    `Cannot choose an input for the ${kind}: the hints make ${describeInputs(fitting)} of one; name each with ` +
      '--input NAME=FILE',
  )
}

function expectInput(model: Metadata, name: string): void {
  if (model.inputs.some((input) => input.name === name)) return
  throw new EdgeError(
    'input_invalid',
    `Cannot fill input ${quote(name)}: the model has no such input; it has ${describeInputs(model.inputs)}`,
  )
}

function expectAlone(request: WholeRequest, options: ReadonlyMap<string, Given>): WholeRequest {
  if (options.size === 0) return request
  throw new EdgeError(
    'input_invalid',
    'Cannot add --input to a whole request: it is sent as it is; write the input into the file',
  )
}
