/**
 * A root of its own for what changes a system: the host's programs and libraries, read only; everything else is new, and
 * so are the processes, which end with it. In the place of systemd stands `test/kit/systemctl.sh`.
 */
import { chmod, cp, lstat, mkdir, readdir, readFile, readlink, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { createFolder } from './binary.ts'
import { eventually } from './device-link.ts'

const NEEDED = ['unshare', 'nsenter', 'chroot', 'useradd', 'su', 'mount'] as const
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

/** Says why, so that a skipped test is seen; empty where it can be made. */
export const WITHOUT_ROOT = whyNot()

function whyNot(): string {
  if (process.getuid?.() !== 0) return ' (skipped: not root)'
  const missing = NEEDED.filter((program) => Bun.which(program, { PATH }) === null)
  if (missing.length > 0) return ` (skipped: ${missing.join(', ')} not installed)`
  const tried = Bun.spawnSync(['unshare', '-m', '-p', '--fork', 'mount', '-t', 'tmpfs', 'none', '/mnt'])
  return tried.success ? '' : ' (skipped: no mounts may be made here)'
}

/** The host's, read only. What is a link here is one there. */
const SYSTEM = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64']
/** What programs read of /etc; users and groups are copies that may change. */
const SETTINGS = [
  ...['passwd', 'group', 'shadow', 'gshadow', 'pam.d', 'login.defs', 'nsswitch.conf', 'security'],
  ...['ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'default', 'hosts', 'environment', 'subuid', 'subgid'],
]

export interface ScratchRoot {
  /** As seen from outside. */
  readonly path: string
  run(command: readonly string[], options?: { env?: Record<string, string>; stdin?: string }): Promise<Ended>
  /** Each file and folder with kind, mode, owner and, of a file, its content's hash. */
  list(): Promise<readonly string[]>
  remove(): Promise<void>
}

interface Ended {
  readonly output: string
  readonly exitCode: number
}

export async function createScratchRoot(): Promise<ScratchRoot> {
  const folder = await createFolder()
  const root = join(folder.path, 'root')
  await fill(root)
  const script = [
    'set -e',
    `cd ${root}`,
    // The host's own mounts stay as they are.
    'mount --make-rprivate /',
    ...SYSTEM.map(
      (name) => `if [ -d ${name} ] && [ ! -L ${name} ]; then mount --bind -o ro /${name} ${name}; fi`,
    ),
    'mount --bind local usr/local',
    'mount -t proc proc proc',
    'mount --rbind /dev dev',
    'mount -t tmpfs none tmp',
    `exec chroot ${root} sh -c 'echo ready; exec cat'`,
  ].join('\n')
  const holder = Bun.spawn(
    ['unshare', '--mount', '--pid', '--fork', '--kill-child=KILL', 'sh', '-c', script],
    {
      env: { PATH },
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'inherit',
    },
  )
  const remove = async () => {
    // The first process of the namespace reads this to its end, and the others end with it.
    await holder.stdin.end()
    holder.kill('SIGKILL')
    await holder.exited
    await folder.remove()
  }
  try {
    const { value } = await holder.stdout.getReader().read()
    if (!new TextDecoder().decode(value).startsWith('ready')) throw new Error(`Cannot make a root in ${root}`)
    const init = await firstChildOf(holder.pid)
    const enter = ['nsenter', `--target=${init}`, '--mount', '--pid', '--root', '--wd']
    return {
      path: root,
      run: (command, options) => run([...enter, ...command], options),
      list: () => list(root),
      remove,
    }
  } catch (error) {
    await remove()
    throw error
  }
}

async function fill(root: string): Promise<void> {
  for (const name of [
    'etc',
    'proc',
    'dev',
    'tmp',
    'run/systemd/system',
    'etc/systemd/system',
    'var/lib',
    'var/log',
    'var/mail',
    'srv',
  ])
    await mkdir(join(root, name), { recursive: true })
  for (const name of ['root', 'local/bin', 'local/sbin', 'local/lib', 'media/limpet'])
    await mkdir(join(root, name), { recursive: true })
  for (const name of SYSTEM) await copyEntry(name, root)
  for (const name of SETTINGS) {
    await cp(join('/etc', name), join(root, 'etc', name), {
      recursive: true,
      preserveTimestamps: true,
    }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
  }
  const systemctl = join(root, 'local/bin/systemctl')
  await cp(join(import.meta.dir, 'systemctl.sh'), systemctl)
  await chmod(systemctl, 0o755)
}

/** A link stays one; of what is mounted only the place is needed. */
async function copyEntry(name: string, root: string): Promise<void> {
  const found = await lstat(join('/', name)).catch(() => undefined)
  if (found?.isSymbolicLink()) await symlink(await readlink(join('/', name)), join(root, name))
  else if (found !== undefined) await mkdir(join(root, name))
}

async function firstChildOf(pid: number): Promise<number> {
  const children = await eventually('the first process', async () => {
    const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return text.trim() === '' ? undefined : text.trim().split(' ')
  })
  return Number(children[0])
}

async function run(
  command: readonly string[],
  { env, stdin = '' }: { env?: Record<string, string>; stdin?: string } = {},
): Promise<Ended> {
  const child = Bun.spawn([...command], {
    env: { PATH, ...env },
    stdin: Buffer.from(stdin),
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { output: stdout + stderr, exitCode }
}

/** Backups and locks of the programs that keep users, what the stand-in for systemd writes, and what is passing. */
const PASSING =
  /^(etc\/(passwd|group|shadow|gshadow|subuid|subgid)-|etc\/\.pwd\.lock|(run|var\/log)\/.*|tmp\/.*|media\/.*)$/

async function list(root: string): Promise<readonly string[]> {
  const lines: string[] = []
  for (const path of (await readdir(root, { recursive: true })).sort()) {
    if (PASSING.test(path)) continue
    const absolute = join(root, path)
    const { mode, uid, gid } = await lstat(absolute)
    const isFile = (mode & 0o170_000) === 0o100_000
    const content = isFile ? Bun.hash(await Bun.file(absolute).arrayBuffer()).toString(16) : ''
    lines.push(`${path} ${mode.toString(8)} ${uid}:${gid} ${content}`.trim())
  }
  return lines
}
