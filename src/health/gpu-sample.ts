/** What one NVIDIA GPU says of itself. Undefined where the board or its driver does not know. */
export interface GpuSample {
  /** Like "GPU-5a1b…", the same after a restart and in another slot. */
  readonly uuid: string
  /** Share of the last sample period in which a kernel ran, 0 to 1. */
  readonly utilization: number | undefined
  readonly memoryBytesTotal: number | undefined
  readonly memoryBytesUsed: number | undefined
  readonly powerWatts: number | undefined
  readonly powerLimitWatts: number | undefined
  /** Since the driver was loaded. */
  readonly energyJoules: number | undefined
  readonly temperatureCelsius: number | undefined
  /** Of its graphics clock. */
  readonly clockHertz: number | undefined
  /** Why it is slower than it could be: NVML's bits. */
  readonly throttleReasons: bigint | undefined
}

/** The thread's answer: a sample of each GPU, or why there is none. */
export type GpuReading = { readonly gpus: readonly GpuSample[] } | { readonly problem: string }
