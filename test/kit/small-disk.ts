/** A file system of its own, small enough to fill, whose power can be cut: ext4 on a loop device. Needs root. */
import { copyFile, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from './until.ts'

export class SmallDisk {
  /** Where its files are. */
  readonly path: string
  readonly #home: string
  #generation = 0

  private constructor(home: string) {
    this.#home = home
    this.path = join(home, 'disk')
  }

  /** Undefined where this machine does not let us mount; the test has to say that it was skipped. */
  static async create(home: string, megabytes: number): Promise<SmallDisk | undefined> {
    const disk = new SmallDisk(home)
    await mkdir(disk.path, { recursive: true })
    // Blocks as large as pages, which disks of real sizes have: in smaller ones SQLite's index of its log, which it
    // maps, has holes that a full disk cannot fill, and the process is killed by SIGBUS instead of being told.
    const isMade =
      run(['truncate', '-s', `${megabytes}M`, disk.#image()]) &&
      run(['mkfs.ext4', '-q', '-b', '4096', disk.#image()])
    return isMade && disk.#mount() ? disk : undefined
  }

  /**
   * What the device has been told to keep stays; what only the kernel's memory holds is gone. The disk is then what a
   * restart would find.
   */
  async cutPower(): Promise<void> {
    const before = this.#image()
    this.#generation += 1
    // Taken while the old one is still mounted: unmounting would write what was not yet written.
    await copyFile(before, this.#image())
    await unmount(this.path)
    await rm(before)
    if (!this.#mount()) throw new Error('The disk does not mount again')
  }

  /** As after a fault of the device: from now on it can be read, and nothing can be written, whoever has what open. */
  failWrites(): void {
    if (!run(['mount', '-o', 'remount,abort', this.path])) throw new Error(`Cannot abort ${this.path}`)
  }

  /** Nothing can be written below this folder while `work` goes on. */
  async whileReadOnly(folder: string, work: () => Promise<void>): Promise<void> {
    const isMounted =
      run(['mount', '--bind', folder, folder]) && run(['mount', '-o', 'remount,bind,ro', folder])
    if (!isMounted) throw new Error(`Cannot make ${folder} read-only`)
    try {
      await work()
    } finally {
      await unmount(folder)
    }
  }

  /** Its folder can be removed after this. */
  async remove(): Promise<void> {
    await unmount(this.path)
    await rm(this.#image(), { force: true })
  }

  #image(): string {
    return join(this.#home, `image-${this.#generation}`)
  }

  /** Nothing is written back unasked for 15 minutes, and a rename does not write the file's bytes on its own. */
  #mount(): boolean {
    return run(['mount', '-o', 'loop,commit=900,noauto_da_alloc', this.#image(), this.path])
  }
}

/** A process that was killed a moment ago may still be on its way out, with its files open. */
async function unmount(path: string): Promise<void> {
  await until(`${path} is unmounted`, () => run(['umount', path]) || undefined)
}

function run(command: string[]): boolean {
  try {
    return Bun.spawnSync(command, { stdout: 'ignore', stderr: 'ignore' }).success
  } catch {
    return false
  }
}
