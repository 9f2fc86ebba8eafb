/** How this very program is started: the binary is its own program; from a checkout Bun runs `src/main.ts`. */
export function ownCommand(): string[] {
  return Bun.main.startsWith('/$bunfs/') ? [process.execPath] : [process.execPath, Bun.main]
}
