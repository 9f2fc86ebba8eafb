import { constants } from 'node:fs'
import { access, readdir, readFile, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { runCommand } from '../../health/run-command.ts'
import type { FileSystem } from '../../health/sources/disk-space.ts'
import { DiskWear } from '../../health/sources/disk-wear.ts'
import { openSnapshot } from '../../kit/database.ts'
import { messageOf } from '../../kit/errors.ts'
import type { Context } from './context.ts'

export interface StorageFacts {
  readonly state: string
  /** The folder itself, or the nearest one above that is there. */
  readonly nearest: string
  /** Why it cannot be read or written; "" where it can. */
  readonly problem: string
  readonly space: FileSystem | undefined
  readonly mount: { readonly type: string; readonly isReadOnly: boolean } | undefined
  /** In percent, by disk. */
  readonly wear: Readonly<Record<string, number>>
  readonly sqlite: string
  readonly drafts: number
}

export async function lookAtStorage({ state, files, clock }: Context): Promise<StorageFacts> {
  const nearest = await nearestFolder(state)
  const [problem, space, mounts, wear] = await Promise.all([
    problemOf(nearest, state),
    statfs(nearest).catch(() => undefined),
    readFile('/proc/self/mountinfo', 'utf8').catch(() => ''),
    new DiskWear({ files, run: runCommand, clock }).read().catch(() => []),
  ])
  return {
    state,
    nearest,
    problem,
    space,
    mount: mountOf(nearest, mounts),
    wear: Object.fromEntries(wear.map(({ labels, value }) => [labels?.['disk'] ?? '', value])),
    sqlite: sqliteVersion(),
    drafts: (await readdir(state).catch(() => [])).filter((name) => name.endsWith('.draft')).length,
  }
}

async function nearestFolder(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    const isThere = await stat(folder).then(
      () => true,
      () => false,
    )
    if (isThere || folder === dirname(folder)) return folder
  }
}

async function problemOf(nearest: string, state: string): Promise<string> {
  if (!(await stat(nearest)).isDirectory()) return `"${nearest}" is no folder`
  try {
    await access(nearest, constants.R_OK | constants.W_OK | constants.X_OK)
    return ''
  } catch (error) {
    return nearest === state ? messageOf(error) : `it is not there, and cannot be made: ${messageOf(error)}`
  }
}

/** proc_pid_mountinfo(5): the longest mount point that leads there, the last of equal ones. */
export function mountOf(path: string, mountinfo: string): StorageFacts['mount'] {
  const mounts = mountinfo.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ')
    const [, , , , point = '', options = ''] = before.split(' ')
    const [type = '', , superOptions = ''] = after.split(' ')
    const at = point.replaceAll(/\\(\d{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    )
    const isBelow = at === '/' || path === at || path.startsWith(`${at}/`)
    const isReadOnly = [options, superOptions].some((all) => all.split(',').includes('ro'))
    return point !== '' && isBelow ? [{ at, type, isReadOnly }] : []
  })
  const best = mounts.reduce<(typeof mounts)[number] | undefined>(
    (longest, each) => (longest === undefined || each.at.length >= longest.at.length ? each : longest),
    undefined,
  )
  return best && { type: best.type, isReadOnly: best.isReadOnly }
}

function sqliteVersion(): string {
  const database = openSnapshot(new Uint8Array(0))
  const row = database.prepare('select sqlite_version() as version').get() as { version: string }
  database.close()
  return row.version
}
