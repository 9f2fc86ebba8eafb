import { link, readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { readEnvironment } from '../config/environment.ts'
import { systemClock } from '../kit/clock.ts'
import { openDatabase } from '../kit/database.ts'
import { makeFolderDurably, moveFileDurably, moveFolderDurably } from '../kit/durable-file.ts'
import { EdgeError } from '../kit/errors.ts'
import { backUp, missingPacks, type Open, openBackup, restore } from '../registry/backup.ts'
import { lockRegistry } from './registry-lock.ts'

type Print = (line: string) => void

async function opener(): Promise<Open> {
  return (path) => openDatabase(path)
}

function folderOf(state: string | undefined): string {
  return resolve(state ?? join(readEnvironment().state, 'registry'))
}

/** `limpet registry backup`: of a registry that may be running, into one file. */
export async function runBackup(
  file: string,
  options: { readonly state: string | undefined; readonly packs: boolean; readonly telemetry: boolean },
  print: Print,
): Promise<void> {
  const folder = folderOf(options.state)
  if ((await stat(join(folder, 'registry.sqlite')).catch(() => undefined)) === undefined) {
    throw new EdgeError(
      'input_invalid',
      `Cannot back up "${folder}": no registry was ever started there; give its --state`,
    )
  }
  // What is made in between is for its owner's eyes as well: keys are in it.
  process.umask(0o077)
  const open = await opener()
  const { files, bytes } = await backUp(folder, resolve(file), {
    open,
    now: systemClock.now(),
    withPacks: options.packs,
    withTelemetry: options.telemetry,
  })
  print(`Backed up the database and ${files} files of ${folder}, ${bytes} bytes, to ${file}`)
  print('The keys that the registry signs with are in it: keep it as safe as the registry.')
  if (!options.telemetry) print('Not in it: what devices have measured; --telemetry takes that along')
  if (!options.packs)
    print(
      `Not in it: packs (${join(folder, 'packs')}); files there never change, so copy what is new, or give --packs`,
    )
}

/** `limpet registry restore`: into an empty folder, or with --replace in the place of what is there, which is put aside. */
export async function runRestore(
  file: string,
  options: { readonly state: string | undefined; readonly replace: boolean },
  print: Print,
): Promise<void> {
  const folder = folderOf(options.state)
  const open = await opener()
  await requireFile(file)
  openBackup(file, open).close()
  const before = await readdir(folder).catch(() => [])
  if (before.length > 0 && !options.replace) {
    throw new EdgeError(
      'conflict',
      `Cannot restore into "${folder}": it holds ${before.length} files and folders; --replace puts them aside`,
    )
  }
  const lock = before.length > 0 ? await lockRegistry(folder) : undefined
  const draft = join(dirname(folder), `.${basename(folder)}.restoring`)
  await rm(draft, { recursive: true, force: true })
  const restored = await restore(file, draft, { open, now: systemClock.now() })
  const aside = before.length > 0 ? await putAside(folder, draft) : undefined
  await moveFolderDurably(draft, folder)
  lock?.close()
  print(
    `Restored ${folder}: the database and ${restored.files} files, as of ${new Date(restored.made).toISOString()}`,
  )
  if (aside !== undefined) print(`What was there is in ${aside}; its packs and objects were taken over`)
  for (const id of restored.paused)
    print(`Rollout ${id} was under way then, and is paused: look before it goes on`)
  await tellMissing(folder, open, print)
}

async function requireFile(file: string): Promise<void> {
  if ((await stat(file).catch(() => undefined))?.isFile() === true) return
  throw new EdgeError('input_invalid', `Cannot restore "${file}": there is no such file`)
}

/** Packs and objects go over to the new folder as well: they are named by what is in them, and never change. */
async function putAside(folder: string, draft: string): Promise<string> {
  for (const name of ['packs', 'objects']) await takeOver(join(folder, name), join(draft, name))
  const time = new Date(systemClock.now()).toISOString().replaceAll(/[:.]/g, '-')
  const aside = `${folder}.before-${time}`
  await makeFolderDurably(dirname(aside))
  await moveFolderDurably(folder, aside)
  return aside
}

async function takeOver(from: string, to: string): Promise<void> {
  await makeFolderDurably(to)
  const there = new Set(await readdir(to))
  for (const name of await readdir(from).catch(() => [])) {
    if (there.has(name) || !/^[0-9a-f]{64}$/.test(name)) continue
    const [source, target] = [join(from, name), join(to, name)]
    // In both places at once; where the file system does not have that, only in the new one.
    await link(source, target).catch(() => moveFileDurably(source, target))
  }
}

async function tellMissing(folder: string, open: Open, print: Print): Promise<void> {
  const missing = await missingPacks(folder, open)
  if (missing.length === 0) return
  print(
    `${missing.length} packs are missing in ${join(folder, 'packs')}: copy them there, or their chunks cannot be given out:`,
  )
  for (const sha256 of missing.slice(0, 10)) print(`  ${sha256}`)
}
