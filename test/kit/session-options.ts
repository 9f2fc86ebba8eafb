import type { SessionOptions } from '../../src/runtime/backend.ts'

/** What a model without a config gets, on the CPU. */
export const SESSION_OPTIONS: SessionOptions = {
  id: 'test/1',
  providers: [{ name: 'cpu', options: {} }],
  threadsIntraOp: 1,
  threadsInterOp: 1,
  executionMode: 'sequential',
  graphOptimization: 'all',
  engineCache: 'keep',
  memoryArena: true,
  memoryPattern: true,
  freeDimensions: {},
  configEntries: {},
}
