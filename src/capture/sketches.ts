import type { Random } from '../kit/random.ts'
import type { Tensor } from '../runtime/backend.ts'
import { Sketch, type SketchSnapshot } from './sketch.ts'
import { eachValue, isNumeric } from './tensor-values.ts'

/** Inputs, and as many outputs, of one version. */
const TENSORS_MAX = 8
/** Versions; the one that was begun first goes. */
const LANES_MAX = 32

type Direction = 'input' | 'output'

interface LaneSketches {
  readonly model: string
  readonly version: string
  requests: number
  readonly input: Map<string, Sketch>
  readonly output: Map<string, Sketch>
}

export interface TensorSketch extends SketchSnapshot {
  readonly model: string
  readonly version: string
  readonly direction: Direction
  readonly tensor: string
}

/** What the numbers are like that go into a model and come out of it, of a share of its requests. */
export class Sketches {
  readonly #percentOf: (model: string) => number
  readonly #random: Random
  readonly #lanes = new Map<string, LaneSketches>()

  constructor(parts: { percentOf: (model: string) => number; random: Random }) {
    this.#percentOf = parts.percentOf
    this.#random = parts.random
  }

  /** Whether this request is looked at. */
  choose(model: string): boolean {
    const percent = this.#percentOf(model)
    return percent > 0 && this.#random.fraction() * 100 < percent
  }

  add(
    of: { readonly model: string; readonly version: string },
    seen: { readonly inputs: readonly Tensor[]; readonly outputs: readonly Tensor[] },
  ): void {
    const lane = this.#laneOf(of)
    lane.requests += 1
    addAll(lane.input, seen.inputs)
    addAll(lane.output, seen.outputs)
  }

  get requests(): readonly { readonly model: string; readonly version: string; readonly requests: number }[] {
    return [...this.#lanes.values()].map(({ model, version, requests }) => ({ model, version, requests }))
  }

  get snapshot(): TensorSketch[] {
    return [...this.#lanes.values()].flatMap(({ model, version, ...lane }) =>
      (['input', 'output'] as const).flatMap((direction) =>
        [...lane[direction]].map(([tensor, sketch]) => {
          return { model, version, direction, tensor, ...sketch.snapshot }
        }),
      ),
    )
  }

  #laneOf({ model, version }: { model: string; version: string }): LaneSketches {
    const key = `${model}/${version}`
    const known = this.#lanes.get(key)
    if (known !== undefined) return known
    const lane = { model, version, requests: 0, input: new Map(), output: new Map() }
    this.#lanes.set(key, lane)
    if (this.#lanes.size > LANES_MAX) this.#forgetFirst()
    return lane
  }

  #forgetFirst(): void {
    for (const key of this.#lanes.keys()) {
      this.#lanes.delete(key)
      return
    }
  }
}

function addAll(sketches: Map<string, Sketch>, tensors: readonly Tensor[]): void {
  for (const tensor of tensors) {
    if (!isNumeric(tensor.datatype)) continue
    let sketch = sketches.get(tensor.name)
    if (sketch === undefined) {
      if (sketches.size >= TENSORS_MAX) continue
      sketch = new Sketch()
      sketches.set(tensor.name, sketch)
    }
    const into = sketch
    eachValue(tensor, (value) => into.add(value))
  }
}
