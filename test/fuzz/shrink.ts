/** From a case that fails to the least one that fails in the same way. */
import type { WireCase } from './wire-case.ts'

const TRIES_MAX = 150

export async function shrink(
  wire: WireCase,
  fails: (candidate: WireCase) => Promise<boolean>,
): Promise<WireCase> {
  let least = wire
  let tries = 0
  const attempt = async (candidate: WireCase) => {
    if (tries >= TRIES_MAX) return false
    tries += 1
    if (!(await fails(candidate))) return false
    least = candidate
    return true
  }
  if (least.encoding !== 'none') await attempt({ ...least, encoding: 'none' })
  if (least.framing !== 'length') await attempt({ ...least, framing: 'length' })
  if (least.headers.length > 0) await attempt({ ...least, headers: [] })
  for (const part of ['binary', 'json'] as const) {
    for (let size = least[part].length; size >= 1 && tries < TRIES_MAX; ) {
      let isShorter = false
      for (let at = 0; at < least[part].length; ) {
        const bytes = Buffer.concat([least[part].subarray(0, at), least[part].subarray(at + size)])
        if (await attempt({ ...least, [part]: bytes })) isShorter = true
        else at += size
      }
      if (!isShorter || size === 1) size = Math.floor(size / 2)
    }
  }
  return least
}
