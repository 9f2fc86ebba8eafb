import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { type BoardFacts, readStart } from './profile-facts.ts'

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
