import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { EdgeError } from '../../kit/errors.ts'
import { findCut, type Grain } from './gear.ts'
import { type Extent, findTensors, type TensorPlaces } from './onnx-tensors.ts'
import { fileSource } from './proto-reader.ts'

/** Where a chunk of a file has to begin, and how that is known. */
export interface Boundaries {
  /** Rising offsets; none is 0. */
  readonly at: readonly number[]
  /** "tensors": of an ONNX model, in it or beside it. "content": nothing is known, the content alone decides. */
  readonly by: 'tensors' | 'content'
  /** Why the content alone decides, for a file that was to be a model. */
  readonly problem: string | undefined
}

/**
 * What lies between the tensors is the graph, names and small tensors: little of the file and most of what a change
 * touches. It is cut finely, so that a change of a node costs some kilobytes and not a hundred.
 */
const FINE: Grain = { bytesMin: 2_048, cutBits: 12 }
const FINE_BYTES_MAX = 8 * 1024
/** A longer stretch is no graph: it is cut like weights. */
const GRAPH_BYTES_MAX = 4 * 1024 * 1024

const CONTENT: Boundaries = { at: [], by: 'content', problem: undefined }

/**
 * Of the files of a model's folder, by path. A model that cannot be read is no mistake here: it is cut by its content,
 * moves all the same, and the problem is in the result.
 */
export function findBoundaries(folder: string, paths: readonly string[]): Map<string, Boundaries> {
  const found = new Map<string, Boundaries>(paths.map((path) => [path, CONTENT]))
  const beside = new Map<string, Extent[]>()
  for (const path of paths.filter((name) => name.endsWith('.onnx'))) {
    const places = placesIn(join(folder, path))
    if ('problem' in places) {
      found.set(path, { ...CONTENT, problem: places.problem })
      continue
    }
    found.set(path, {
      at: risingFrom([...endsOf(places.inside), ...places.cuts]),
      by: 'tensors',
      problem: undefined,
    })
    for (const [location, extents] of places.outside) {
      // What the model calls a file is relative to the model's own folder; a path out of the folder is not among `paths`.
      const name = posix.normalize(posix.join(dirname(path), location))
      beside.set(name, [...(beside.get(name) ?? []), ...extents])
    }
  }
  for (const [path, extents] of beside) {
    const isKnown = found.get(path) === CONTENT
    if (isKnown) found.set(path, { at: risingFrom(endsOf(extents)), by: 'tensors', problem: undefined })
  }
  return found
}

interface Places extends TensorPlaces {
  /** Between the tensors. */
  readonly cuts: readonly number[]
}

function placesIn(path: string): Places | { readonly problem: string } {
  const descriptor = openSync(path, 'r')
  try {
    const { size } = fstatSync(descriptor)
    const { inside, outside } = findTensors(fileSource(descriptor, size))
    return { inside, outside, cuts: gapsBetween(inside, size).flatMap((gap) => cutFinely(descriptor, gap)) }
  } catch (error) {
    if (error instanceof EdgeError) return { problem: error.message }
    throw error
  } finally {
    closeSync(descriptor)
  }
}

function gapsBetween(tensors: readonly Extent[], size: number): Extent[] {
  const ends = [0, ...tensors.map(({ at, bytes }) => at + bytes)]
  const starts = [...tensors.map(({ at }) => at), size]
  return ends.map((at, index) => ({ at, bytes: (starts[index] ?? size) - at }))
}

function cutFinely(descriptor: number, gap: Extent): number[] {
  if (gap.bytes <= FINE.bytesMin || gap.bytes > GRAPH_BYTES_MAX) return []
  const bytes = new Uint8Array(gap.bytes)
  const length = readSync(descriptor, bytes, 0, gap.bytes, gap.at)
  const cuts: number[] = []
  for (let from = 0; from < length; ) {
    from = findCut(bytes, from, Math.min(length, from + FINE_BYTES_MAX), FINE)
    cuts.push(gap.at + from)
  }
  return cuts
}

/** A tensor's first byte begins a chunk, and so does the first one after it. Beyond the file's end none is ever reached. */
function endsOf(extents: readonly Extent[]): number[] {
  return extents.flatMap((extent) => [extent.at, extent.at + extent.bytes])
}

function risingFrom(places: readonly number[]): number[] {
  const at = new Set(places)
  at.delete(0)
  return [...at].sort((one, other) => one - other)
}
