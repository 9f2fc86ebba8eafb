import type { RunCommand } from './source.ts'

const RUN_MS_MAX = 5_000
const OUTPUT_BYTES_MAX = 64 * 1024

/** Runs a program that the board brings with it, looked for where such programs are. */
export const runCommand: RunCommand = async (command) => {
  const [program = '', ...given] = command
  const path = Bun.which(program, { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' })
  if (path === null) return undefined
  const child = Bun.spawn([path, ...given], {
    stdin: 'ignore',
    stderr: 'ignore',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    timeout: RUN_MS_MAX,
    killSignal: 'SIGKILL',
    maxBuffer: OUTPUT_BYTES_MAX,
  })
  const text = await new Response(child.stdout).text()
  return (await child.exited) === 0 ? text : undefined
}
