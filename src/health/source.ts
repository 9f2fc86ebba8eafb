/** A value at a moment. Names carry their unit; labels say what of the board it is of. */
export interface Measured {
  readonly name: string
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
}

/** One place that the board can be asked at. It gives what there is: what a board lacks is not measured. */
export interface Source {
  readonly name: string
  read(): Promise<readonly Measured[]>
}

/** Runs a program and gives what it prints; undefined where it is not there, fails, or takes too long. */
export type RunCommand = (command: readonly string[]) => Promise<string | undefined>
