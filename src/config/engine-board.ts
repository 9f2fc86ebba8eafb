import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { BoardFacts } from './profile-facts.ts'

/** Of a processor's features there are some hundred words, of a driver's version two lines. */
const FILE_BYTES_MAX = 16 * 1024

/**
 * What decides whether something that was made for one board suits another one: the processor and what it can do, the
 * GPU and its driver. Below `root`, which is "/" but for tests: what runs here is this processor's, whatever board is tried out.
 */
export function readEngineBoard(root: string, facts: BoardFacts): Readonly<Record<string, string>> {
  const cpuinfo = readStart(join(root, 'proc/cpuinfo'))
  const say = (key: RegExp) => key.exec(cpuinfo)?.[1]?.trim() ?? ''
  const features = say(/^(?:flags|Features)\s*:(.*)$/m)
    .split(/\s+/)
    .sort()
  return {
    architecture: facts.architecture,
    board: facts.compatible.join(' ') || facts.model,
    processor: say(/^model name\s*:(.*)$/m) || facts.cpus.join(' '),
    processor_features: createHash('sha256').update(features.join(' ')).digest('hex'),
    gpus: [...facts.gpus].sort().join(' '),
    driver: readStart(join(root, 'proc/driver/nvidia/version')).trim(),
    l4t: facts.l4t === undefined ? '' : `${facts.l4t.major}.${facts.l4t.revision}`,
  }
}

function readStart(path: string): string {
  try {
    const file = openSync(path, 'r')
    try {
      const bytes = new Uint8Array(FILE_BYTES_MAX)
      return new TextDecoder().decode(bytes.subarray(0, readSync(file, bytes)))
    } finally {
      closeSync(file)
    }
  } catch {
    return ''
  }
}
