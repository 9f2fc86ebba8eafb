import type { Database } from '../kit/database.ts'

/** Whatever decides what a device should run is a word; of two the later one counts. Within the caller's transaction. */
export function sayWord(database: Database, now: number): number {
  return Number(database.prepare('INSERT INTO word (said) VALUES (?)').run(now).lastInsertRowid)
}

export function lastWord(database: Database): number {
  const row = database.prepare<[], { last: number | null }>('SELECT max(number) AS last FROM word').get()
  return row?.last ?? 0
}
