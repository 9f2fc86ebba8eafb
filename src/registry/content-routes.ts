import { z } from 'zod'
import { EdgeError } from '../kit/errors.ts'
import { download } from './download.ts'
import type { Objects } from './objects.ts'
import type { Packs } from './packs.ts'
import { piecesOf, readJson } from './request-body.ts'
import type { Route } from './route.ts'

/** Uploads are written and hashed as they come; so many at once keep the disk busy. */
const UPLOADS_MAX = 8
const CHUNKS_MAX = 50_000

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hex digits')
const Missing = z.strictObject({ sha256: z.array(Sha256).max(CHUNKS_MAX) })

/** Bytes by their hash: what publishers bring and devices fetch. */
export function contentRoutes({ objects, packs }: { objects: Objects; packs: Packs }): Route[] {
  const limited = limitUploads()
  return [
    [
      'reader',
      'GET',
      '/v1/objects/:sha256',
      (c) => download(objects.blobs, c.req.param('sha256') ?? '', c.req.raw),
    ],
    [
      'publisher',
      'PUT',
      '/v1/objects/:sha256',
      async (c) => {
        const sha256 = c.req.param('sha256') ?? ''
        return c.json(await limited(() => objects.put(sha256, piecesOf(c.req.raw))), 201)
      },
    ],
    [
      'reader',
      'GET',
      '/v1/packs/:sha256',
      (c) => download(packs.blobs, c.req.param('sha256') ?? '', c.req.raw),
    ],
    [
      'publisher',
      'POST',
      '/v1/packs',
      async (c) => c.json(await limited(() => packs.put(piecesOf(c.req.raw))), 201),
    ],
    [
      'publisher',
      'POST',
      '/v1/chunks/missing',
      async (c) => {
        const { sha256 } = await readJson(c.req.raw, Missing)
        return c.json({ missing: packs.missing(sha256) })
      },
    ],
    [
      'reader',
      'GET',
      '/v1/indexes/:sha256/places',
      async (c) => c.json({ places: await objects.places(c.req.param('sha256') ?? '') }),
    ],
  ]
}

function limitUploads() {
  let running = 0
  return async <T>(upload: () => Promise<T>): Promise<T> => {
    if (running >= UPLOADS_MAX) {
      throw new EdgeError(
        'queue_full',
        `Cannot take the upload: ${running} are under way, at most ${UPLOADS_MAX}`,
      )
    }
    running += 1
    try {
      return await upload()
    } finally {
      running -= 1
    }
  }
}
