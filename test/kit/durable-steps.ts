/** A process that writes durably, step by step, until something kills it: `bun durable-steps.ts FOLDER`. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readEnvironment } from '../../src/config/environment.ts'
import { present } from '../../src/kit/assert.ts'
import { armCrashPoints } from '../../src/kit/crash-point.ts'
import { openDatabase, transact } from '../../src/kit/database.ts'
import {
  makeFolderDurably,
  moveFolderDurably,
  pointDurably,
  removeFolderDurably,
  writeDurably,
} from '../../src/kit/durable-file.ts'

const folder = present(process.argv[2], 'a folder was given')
armCrashPoints(readEnvironment().crashAt)

const database = openDatabase(join(folder, 'facts.sqlite'))
for (const version of ['one', 'two']) {
  await makeFolderDurably(join(folder, 'work'))
  await mkdir(join(folder, 'work', version, 'inside'), { recursive: true })
  await writeFile(join(folder, 'work', version, 'inside/file'), version.repeat(10_000))
  await moveFolderDurably(join(folder, 'work', version), join(folder, version))
  await pointDurably(join(folder, 'current'), version)
  await writeDurably(join(folder, 'note'), Buffer.from(version))
  transact(database, () => {
    database.exec('CREATE TABLE IF NOT EXISTS fact (version TEXT, part INTEGER)')
    for (const part of [1, 2]) database.prepare('INSERT INTO fact VALUES (?, ?)').run(version, part)
  })
}
await removeFolderDurably(join(folder, 'one'))
