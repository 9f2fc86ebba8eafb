import type { CaptureSnapshot } from '../capture/capture.ts'
import { listSegments } from '../capture/segments.ts'
import type { Config } from '../config/config.ts'
import { deviceFolders } from './agent/folders.ts'
import { CAPTURE_PATH, captureFolderOf } from './capture.ts'

const ANSWER_MS_MAX = 2_000

/** What is kept of requests on this device; of what was let go only a server that runs knows. */
export async function describeCapture(state: string, config: Config): Promise<string[]> {
  const { allowed, bytes_max } = config.capture
  const segments = await listSegments(captureFolderOf(state))
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0)
  const models = [...new Set(segments.map(({ model }) => model))]
  const kept =
    bytes === 0
      ? 'no request is kept'
      : `requests of ${models.join(', ')} take ${(bytes / 1e6).toFixed(1)} MB, at most ${(bytes_max / 1e6).toFixed(1)} MB`
  const running = await askServer(state, config)
  return [
    allowed ? kept : `${kept}; capture.allowed is false`,
    ...(running === undefined ? [] : describe(running)),
  ]
}

function describe({ models, dropped }: CaptureSnapshot): string[] {
  const letGo = Object.values(dropped).reduce((sum, count) => sum + count, 0)
  const perModel = models.map(
    ({ model, percent, on_failure: onFailure, captured: { sample, failure } }) =>
      `${model}: ${percent} % of its requests${onFailure ? ' and those that fail' : ''} are kept; ${sample} and ${failure} since the start`,
  )
  return [...perModel, ...(letGo === 0 ? [] : [`${letGo} were let go: ${JSON.stringify(dropped)}`])]
}

async function askServer(state: string, config: Config): Promise<CaptureSnapshot | undefined> {
  const { serveSocket } = deviceFolders(state, config)
  const answer = await fetch(`http://localhost${config.http.base_path}${CAPTURE_PATH}`, {
    unix: serveSocket,
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
  }).catch(() => undefined)
  return answer?.ok === true ? ((await answer.json()) as CaptureSnapshot) : undefined
}
