export const BUN_VERSION: string
export function fetchBun(options: {
  readonly platform: string
  readonly folder: string
  readonly say: (line: string) => void
}): Promise<string>
