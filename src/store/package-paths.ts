import { EdgeError } from '../kit/errors.ts'
import { pathProblem } from './sent-files.ts'

/** The signed manifest itself, beside the files that it lists. */
export const MANIFEST_NAME = 'manifest.json'

const FILES_MAX = 1_024
const PATH_BYTES_MAX = 1_024

/** Refuses a version whose files would leave its folder, or fall together on some disk. */
export function checkPackagePaths(paths: readonly string[]): void {
  const problem = packageProblem(paths)
  if (problem !== undefined) throw new EdgeError('model_invalid', `Cannot take a version's files: ${problem}`)
}

function packageProblem(paths: readonly string[]): string | undefined {
  if (paths.length > FILES_MAX) return `there are ${paths.length}, at most ${FILES_MAX}`
  const long = paths.find((path) => Buffer.byteLength(path) > PATH_BYTES_MAX)
  if (long !== undefined) return `a path has ${Buffer.byteLength(long)} bytes, at most ${PATH_BYTES_MAX}`
  const taken = new Map<string, string>([[MANIFEST_NAME, MANIFEST_NAME]])
  for (const path of paths) {
    const other = taken.get(fold(path))
    if (other !== undefined) return `${JSON.stringify(path)} takes the place of ${JSON.stringify(other)}`
    taken.set(fold(path), path)
  }
  // Folded as well: "A" is a file and "a/b" is in it, on a disk that knows no case.
  return pathProblem(paths) ?? pathProblem([...taken.keys()])
}

/** What a disk that tells neither cases nor ways of writing an accent apart makes of a path. */
function fold(path: string): string {
  return path.normalize('NFKC').toLowerCase().toUpperCase().toLowerCase()
}
