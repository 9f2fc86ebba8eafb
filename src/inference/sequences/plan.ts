import type { Tensor } from '../../runtime/backend.ts'

/** What a request says of the sequence that it belongs to. */
export interface SequencePart {
  /** Never 0 and never empty: that is what a request without a sequence has. */
  readonly id: bigint | string
  readonly isStart: boolean
  readonly isEnd: boolean
}

/** 7 and "7" are two sequences, as in Triton. */
export function keyOfSequence({ id }: SequencePart): string {
  return typeof id === 'bigint' ? `#${id}` : `"${id}`
}

/** Each sequence holds a slot of one instance, and its place in a run is that of its slot. */
export interface DirectStrategy {
  readonly kind: 'direct'
  readonly queueDelayMsMax: number
  /** Of an instance's slots, 0 to 1: so many have to have a request before the delay is over. 0: nobody waits. */
  readonly slotUtilizationMin: number
}

/** So many sequences at once for each instance, of which those that have waited longest share a run. */
interface OldestStrategy {
  readonly kind: 'oldest'
  readonly candidatesMax: number
}

type ControlKind = 'start' | 'end' | 'ready' | 'id'

/** An input that tells the model where in its sequence a request stands. */
export interface ControlPlan {
  readonly name: string
  readonly kind: ControlKind
  readonly datatype: string
  /** What stands for false and for true; for an id it says nothing. */
  readonly falseTrue: readonly [number, number]
}

/** An output that is kept from one request of a sequence for the next, which gets it as an input. */
export interface StatePlan {
  readonly input: string
  readonly output: string
  /** Undefined: as the model has it. */
  readonly datatype: string | undefined
  /** Without the batch dimension. Undefined: as the model has them. */
  readonly dims: readonly number[] | undefined
  /** What a sequence begins with. Undefined: zeros, an open dimension being 1. */
  readonly initial: InitialState | undefined
  /** The model's config lists the output among its own, so that clients may look at it. */
  readonly isShown: boolean
}

export interface InitialState {
  readonly name: string
  readonly datatype: string | undefined
  readonly dims: readonly number[] | undefined
  /** What the elements were read from, for people. */
  readonly file: string | undefined
  /** Row-major. Undefined: zeros. */
  readonly bytes: Uint8Array | undefined
}

/** How a model's sequences are run; the words are those of Triton's `ModelSequenceBatching`, times in milliseconds. */
export interface SequencePlan {
  readonly strategy: DirectStrategy | OldestStrategy
  /** After so long without a request a sequence is over. */
  readonly idleMsMax: number
  /** Of all states of one sequence. */
  readonly stateBytesMax: number
  readonly controls: readonly ControlPlan[]
  readonly states: readonly StatePlan[]
}

/** A plan held against the model: nothing is left open. */
export interface SequenceModel {
  readonly plan: SequencePlan
  readonly controls: readonly Control[]
  readonly states: readonly State[]
}

export interface Control extends ControlPlan {
  readonly rank: 0 | 1 | 2
}

export interface State {
  readonly input: string
  readonly output: string
  readonly dims: readonly number[]
  /** With the batch dimension, of one item, where the model has one. Shared by all sequences: never written to. */
  readonly initial: Tensor
  readonly isShown: boolean
}
