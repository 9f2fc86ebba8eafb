import type { EngineFacts } from '../../src/engines/key.ts'

/** Of a model and a board that are nobody's. */
export function engineFacts(changes: Partial<EngineFacts> = {}): EngineFacts {
  return {
    kind: 'optimized',
    model: 'a'.repeat(64),
    runtime: { version: '1.30.0', build: 'Release', bytes: '1' },
    board: {
      architecture: 'x64',
      processor: 'one',
      processor_features: 'avx2',
      gpus: '',
      driver: '',
      l4t: '',
    },
    providers: [{ name: 'tensorrt', options: { trt_fp16_enable: '1' }, library: '10 1' }],
    session: { graphOptimization: 'all', freeDimensions: { batch: 1 }, configEntries: {} },
    ...changes,
  }
}
