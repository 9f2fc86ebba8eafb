import type { Measured, Source } from '../source.ts'

/** As `statfs` gives it. */
export interface FileSystem {
  readonly bsize: number
  readonly blocks: number
  readonly bavail: number
  readonly files: number
  readonly ffree: number
}

/** The file systems that Limpet writes to. */
export class DiskSpace implements Source {
  readonly name = 'disk_space'
  readonly #disks: Readonly<Record<string, string>>
  readonly #statfs: (path: string) => Promise<FileSystem>

  /** A name for each path. */
  constructor(parts: {
    disks: Readonly<Record<string, string>>
    statfs: (path: string) => Promise<FileSystem>
  }) {
    this.#disks = parts.disks
    this.#statfs = parts.statfs
  }

  async read(): Promise<Measured[]> {
    const each = Object.entries(this.#disks).map(async ([disk, path]) => {
      const { bsize, blocks, bavail, files, ffree } = await this.#statfs(path)
      if (blocks === 0) return []
      const labels = { disk }
      return [
        { name: 'disk_used_percent', labels, value: 100 * (1 - bavail / blocks) },
        { name: 'disk_free_bytes', labels, value: bsize * bavail },
        // Some file systems have as many as there is room for, and say none.
        ...(files === 0 ? [] : [{ name: 'inodes_used_percent', labels, value: 100 * (1 - ffree / files) }]),
      ]
    })
    return (await Promise.all(each)).flat()
  }
}
