/** A version of a model as this device takes it: the files of one variant. Fields of a file are the manifest's. */
export interface Package {
  /** "family/name". */
  readonly model: string
  readonly version: string
  /** SHA-256 of the manifest, lower-case hex. */
  readonly manifest: string
  readonly files: readonly PackageFile[]
}

export interface PackageFile {
  readonly path: string
  readonly bytes: number
  readonly sha256: string
  /** SHA-256 of the chunk index, which is an object. */
  readonly chunk_index: string
}
