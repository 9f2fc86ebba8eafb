import { z } from 'zod'
import { type Database, transact } from '../kit/database.ts'
import { EdgeError } from '../kit/errors.ts'
import { TAG_NAME } from './selector.ts'

const TAGS_MAX = 64

/** What operators write on devices, to select them by: `{"site":"berlin"}`. */
export const Tags = z
  .record(
    z.string(),
    z.string().regex(/^[A-Za-z0-9_.:-]{1,128}$/, 'expected 1 to 128 letters, digits and any of _ . : -'),
  )
  .check(({ value, issues }) => {
    const names = Object.keys(value)
    if (names.length > TAGS_MAX)
      issues.push({ code: 'custom', input: value, message: `${names.length} tags, at most ${TAGS_MAX}` })
    for (const name of names) {
      const message = `"${name}" is no tag's name, which matches ${TAG_NAME.source}`
      if (!TAG_NAME.test(name)) issues.push({ code: 'custom', input: value, message })
    }
  })
export type Tags = Readonly<z.infer<typeof Tags>>

/** All tags of a device at once: what is not named is gone. */
export function writeTags(database: Database, device: string, tags: Tags): void {
  const { changes } = transact(database, () =>
    database
      .prepare('UPDATE device SET tags = ?, is_changed = 1 WHERE id = ?')
      .run(JSON.stringify(tags), device),
  )
  if (changes === 0) throw new EdgeError('not_found', `Cannot tag device "${device}": none is enrolled so`)
}
