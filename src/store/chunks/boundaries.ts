import { closeSync, fstatSync, openSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { EdgeError } from '../../kit/errors.ts'
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
    found.set(path, byTensors(places.inside))
    for (const [location, extents] of places.outside) {
      // What the model calls a file is relative to the model's own folder; a path out of the folder is not among `paths`.
      const name = posix.normalize(posix.join(dirname(path), location))
      beside.set(name, [...(beside.get(name) ?? []), ...extents])
    }
  }
  for (const [path, extents] of beside) if (found.get(path) === CONTENT) found.set(path, byTensors(extents))
  return found
}

function placesIn(path: string): TensorPlaces | { readonly problem: string } {
  const descriptor = openSync(path, 'r')
  try {
    return findTensors(fileSource(descriptor, fstatSync(descriptor).size))
  } catch (error) {
    if (error instanceof EdgeError) return { problem: error.message }
    throw error
  } finally {
    closeSync(descriptor)
  }
}

/** A tensor's first byte begins a chunk, and so does the first one after it. Beyond the file's end none is ever reached. */
function byTensors(extents: readonly Extent[]): Boundaries {
  const at = new Set(extents.flatMap((extent) => [extent.at, extent.at + extent.bytes]))
  at.delete(0)
  return { at: [...at].sort((one, other) => one - other), by: 'tensors', problem: undefined }
}
