import type { Blobs } from './blobs.ts'
import { parseRange } from './ranges.ts'

/** A blob or a part of it, straight from the disk; what has this name never changes. */
export async function download(blobs: Blobs, sha256: string, request: Request): Promise<Response> {
  const { bytes } = await blobs.find(sha256)
  const file = Bun.file(blobs.path(sha256))
  const range = parseRange(request.headers.get('range') ?? undefined, bytes)
  const headers: Record<string, string> = {
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'public, max-age=31536000, immutable',
    'Content-Type': 'application/octet-stream',
    ETag: `"${sha256}"`,
  }
  if (range === undefined) return new Response(file, { headers })
  headers['Content-Range'] = `bytes ${range.start}-${range.end - 1}/${bytes}`
  return new Response(file.slice(range.start, range.end), { status: 206, headers })
}
