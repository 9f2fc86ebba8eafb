import type { Lane } from '../inference/lane.ts'

/**
 * The statistics extension. perf_analyzer reads each of these keys without looking whether it is there, so all of them
 * are, also those that say nothing yet.
 */
export function modelStatistics(lanes: readonly Lane[]) {
  return { model_stats: lanes.map(laneStatistics) }
}

function laneStatistics(lane: Lane) {
  const { statistics } = lane
  return {
    name: lane.model,
    version: lane.version,
    last_inference: statistics.lastInferenceMs,
    inference_count: statistics.inferences,
    execution_count: statistics.executions,
    inference_stats: {
      success: statistics.success,
      fail: statistics.fail,
      queue: statistics.queue,
      compute_input: statistics.input,
      compute_infer: statistics.infer,
      compute_output: statistics.output,
      cache_hit: statistics.cacheHit,
      cache_miss: statistics.cacheMiss,
    },
    response_stats: {},
    batch_stats: statistics.batches.map(({ batchSize, input, infer, output }) => ({
      batch_size: batchSize,
      compute_input: input,
      compute_infer: infer,
      compute_output: output,
    })),
    memory_usage: [{ type: 'CPU', id: 0, byte_size: lane.memory.bytes }],
  }
}
