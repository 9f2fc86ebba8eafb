import { EdgeError, messageOf } from '../kit/errors.ts'
import { readBounded } from '../publisher/registry-client.ts'

const REQUEST_MS = 30_000

/** What is at the URL, undefined where nothing is (404, and 403 as some object stores say it). */
export async function fetchBounded(url: string, bytesMax: number): Promise<Uint8Array | undefined> {
  const response = await fetch(url, { signal: AbortSignal.timeout(REQUEST_MS) }).catch((cause) => {
    throw new EdgeError('peer_failed', `Cannot reach "${url}": ${messageOf(cause)}`, { cause })
  })
  if (response.ok) return await readBounded(response, { bytesMax, what: url })
  await response.body?.cancel()
  if (response.status === 404 || response.status === 403) return undefined
  throw new EdgeError('peer_failed', `Cannot read "${url}": it answers ${response.status}`)
}
