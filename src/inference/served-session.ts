import type { RunRequest, RunResult, Session, Signature, Tensor, TensorSpec } from '../runtime/backend.ts'
import type { Expectation, ExpectedTensor } from './check-settings.ts'

/**
 * A session as its clients see it: where the config says of a tensor what the model leaves open, that counts, and
 * where it says `reshape`, clients have its dims and the model its shape. Bytes stay as they are: row-major order
 * does not know of shapes.
 */
export function presentSession(session: Session, expected: Expectation): Session {
  const said = [...expected.inputs, ...expected.outputs]
  if (said.length === 0) return session
  const hasBatch = expected.max_batch_size > 0
  const present = (specs: readonly TensorSpec[], tensors: readonly ExpectedTensor[]) =>
    specs.map((spec) =>
      presentSpec(
        spec,
        tensors.find(({ name }) => name === spec.name),
        hasBatch,
      ),
    )
  const signature: Signature = {
    ...session.signature,
    inputs: present(session.signature.inputs, expected.inputs),
    outputs: present(session.signature.outputs, expected.outputs),
  }
  const isReshaped = said.some(({ reshape }) => reshape !== undefined)
  return isReshaped
    ? new ReshapedSession(session, signature, expected)
    : new NarrowedSession(session, signature)
}

function presentSpec(spec: TensorSpec, tensor: ExpectedTensor | undefined, hasBatch: boolean): TensorSpec {
  if (tensor === undefined) return spec
  const batch = hasBatch ? [spec.shape?.[0] ?? -1] : []
  const shape = [...batch, ...tensor.dims]
  // A name belongs to a place in the model's own shape.
  const isSamePlace = tensor.reshape === undefined && spec.shape !== undefined
  const symbols = shape.map((size, axis) => (size === -1 && isSamePlace ? (spec.symbols[axis] ?? '') : ''))
  return { ...spec, shape, symbols }
}

class NarrowedSession implements Session {
  readonly signature: Signature
  protected readonly inner: Session

  constructor(inner: Session, signature: Signature) {
    this.inner = inner
    this.signature = signature
  }

  get metadata() {
    return this.inner.metadata
  }

  get providers() {
    return this.inner.providers
  }

  get refusals() {
    return this.inner.refusals
  }

  get faults() {
    return this.inner.faults
  }

  get placement() {
    return this.inner.placement
  }

  get runsMax() {
    return this.inner.runsMax
  }

  get arenaBytes() {
    return this.inner.arenaBytes
  }

  run(request: RunRequest): Promise<RunResult> {
    return this.inner.run(request)
  }

  runInline(request: RunRequest): RunResult {
    return this.inner.runInline(request)
  }

  close(): Promise<void> {
    return this.inner.close()
  }
}

/** From one shape to another; the batch dimension, where there is one, stays in front. */
type Reshape = (shape: readonly number[]) => readonly number[]

class ReshapedSession extends NarrowedSession {
  readonly #inputs: ReadonlyMap<string, Reshape>
  readonly #outputs: ReadonlyMap<string, Reshape>

  constructor(inner: Session, signature: Signature, expected: Expectation) {
    super(inner, signature)
    const batchAxes = expected.max_batch_size > 0 ? 1 : 0
    const of = (tensors: readonly ExpectedTensor[], direction: 'to model' | 'to client') =>
      new Map(
        tensors.flatMap(({ name, dims, reshape }) => {
          if (reshape === undefined) return []
          const [from, to] = direction === 'to model' ? [dims, reshape] : [reshape, dims]
          return [
            [name, (shape: readonly number[]) => reshapeTensor(shape, { from, to, batchAxes })] as const,
          ]
        }),
      )
    this.#inputs = of(expected.inputs, 'to model')
    this.#outputs = of(expected.outputs, 'to client')
  }

  override async run(request: RunRequest): Promise<RunResult> {
    return this.#fromModel(await this.inner.run(this.#toModel(request)))
  }

  override runInline(request: RunRequest): RunResult {
    return this.#fromModel(this.inner.runInline(this.#toModel(request)))
  }

  #toModel(request: RunRequest): RunRequest {
    return { ...request, inputs: request.inputs.map((tensor) => apply(this.#inputs, tensor)) }
  }

  #fromModel(result: RunResult): RunResult {
    const outputs = result.outputs.map((tensor) => apply(this.#outputs, tensor))
    const { runMs, busyMs } = result
    return { outputs, runMs, busyMs, release: () => result.release() }
  }
}

function apply(reshapes: ReadonlyMap<string, Reshape>, tensor: Tensor): Tensor {
  const reshape = reshapes.get(tensor.name)
  return reshape === undefined ? tensor : { ...tensor, shape: reshape(tensor.shape) }
}

/** The sizes that stand where `from` is open go where `to` is, in their order. */
function reshapeTensor(
  shape: readonly number[],
  { from, to, batchAxes }: { from: readonly number[]; to: readonly number[]; batchAxes: number },
): readonly number[] {
  // A model that answers otherwise than its config has it: as it is, and whoever reads it will see.
  if (shape.length !== from.length + batchAxes) return shape
  const open = shape.slice(batchAxes).filter((_, axis) => from[axis] === -1)
  let next = 0
  return [...shape.slice(0, batchAxes), ...to.map((size) => (size === -1 ? (open[next++] ?? 1) : size))]
}
