import { describeCapture } from '../describe-capture.ts'
import { type Check, checksOf } from './check.ts'
import type { Context } from './context.ts'

export function lookAtCapture({ state, config }: Context): Promise<string[]> {
  return describeCapture(state, config)
}

const { ok } = checksOf('capture')

export function judgeCapture(lines: readonly string[]): Check[] {
  return lines.map((line) => ok('kept', line))
}
