import type { LaneRequest, LaneResult } from '../inference/job.ts'
import type { Lane } from '../inference/lane.ts'
import type { RequestEye, RequestWatch } from '../inference/request-watch.ts'

/** The lane's answer, which somebody may want to see; most requests nobody looks at, and they go the shortest way. */
export function inferWatched(
  lane: Lane,
  request: LaneRequest,
  by: { readonly id: string; readonly watch: RequestWatch | undefined },
): Promise<LaneResult> {
  const eye = by.watch?.look(lane)
  return eye === undefined ? lane.infer(request) : inferSeen(lane, request, { id: by.id, eye })
}

async function inferSeen(
  lane: Lane,
  request: LaneRequest,
  { id, eye }: { id: string; eye: RequestEye },
): Promise<LaneResult> {
  const { inputs } = request
  try {
    const result = await lane.infer(request)
    eye.answered({ id, inputs, outputs: result.outputs })
    return result
  } catch (error) {
    eye.failed({ id, inputs, error })
    throw error
  }
}
