/** A board out of a fixture: its files in a folder, and what its programs print. */
import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Files, RootFiles } from '../../src/health/files.ts'
import type { RunCommand } from '../../src/health/source.ts'
import { createFolder } from '../kit/binary.ts'

export const BOARDS = ['xavier-jetpack4', 'orin-jetpack5', 'orin-jetpack6', 'thor', 'x86'] as const

export interface Board {
  readonly root: string
  readonly files: Files
  readonly run: RunCommand
  /** Commands that were run. */
  readonly ran: string[]
  write(path: string, text: string): Promise<void>
  /** From now on it is not there. */
  take(path: string): Promise<void>
  remove(): Promise<void>
}

export async function setUpBoard(name: (typeof BOARDS)[number]): Promise<Board> {
  const { path: root, remove } = await createFolder()
  const write = async (path: string, text: string) => {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await Bun.write(join(root, path), `${text}\n`)
  }
  const commands = new Map<string, string>()
  for (const [path, text] of parse(await Bun.file(join(import.meta.dir, `fixtures/${name}.txt`)).text())) {
    if (path.startsWith('! ')) commands.set(path.slice(2), text)
    else await write(path, text)
  }
  const ran: string[] = []
  return {
    root,
    files: new RootFiles(root),
    ran,
    run: (command) => {
      ran.push(command.join(' '))
      return Promise.resolve(commands.get(command.join(' ')))
    },
    write,
    take: (path) => rm(join(root, path)),
    remove,
  }
}

function parse(text: string): [path: string, text: string][] {
  const found: [string, string][] = []
  for (const line of text.split('\n')) {
    const last = found.at(-1)
    if (line.startsWith('  ') && last !== undefined)
      last[1] += `${last[1] === '' ? '' : '\n'}${line.slice(2)}`
    else if (line !== '') {
      const [, path = '', rest = ''] = /^(.*?):(?: (.*))?$/.exec(line.replace('iio:', 'iio\0')) ?? []
      found.push([path.replace('\0', ':'), rest])
    }
  }
  return found
}
