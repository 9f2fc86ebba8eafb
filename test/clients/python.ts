/** The real clients, unmodified, each check of a script with its name. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Made by `.ci/run`: a virtual environment with requirements.txt in it. */
const PYTHON = join(import.meta.dir, '../../.tools/venv/bin/python')
const READY = join(import.meta.dir, '../../.tools/venv/requirements.txt')
const WANTED = join(import.meta.dir, 'requirements.txt')

/** What is missing for these tests, in words; undefined where nothing is. */
export function missingPython(): string | undefined {
  const how = 'run .ci/run once, with Python and network'
  if (!existsSync(PYTHON) || !existsSync(READY)) return `there is no .tools/venv with them (${how})`
  const isSame = readFileSync(READY, 'utf8') === readFileSync(WANTED, 'utf8')
  return isSame ? undefined : `.tools/venv is not of this requirements.txt (${how})`
}

/** The names of a script's checks, in order, read without running it. */
export function checksIn(script: string): string[] {
  const source = readFileSync(join(import.meta.dir, script), 'utf8')
  return [...source.matchAll(/^@check\("(.+)"\)$/gm)].map((match) => match[1] ?? '')
}

/** Runs a script to its end: name of each check → what was wrong, null where nothing was. */
export async function runChecks(
  script: string,
  asked: { url: string; env: Record<string, string> },
): Promise<Map<string, string | null>> {
  const child = Bun.spawn([PYTHON, '-W', 'ignore', join(import.meta.dir, script), new URL(asked.url).host], {
    env: { PATH: '/usr/bin:/bin', PYTHONDONTWRITEBYTECODE: '1', ...asked.env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (exitCode !== 0) throw new Error(`${script} ended with ${exitCode}: ${stderr}`)
  const lines = stdout.trim().split('\n')
  const results = lines.map((line) => JSON.parse(line) as { name: string; wrong: string | null })
  return new Map(results.map(({ name, wrong }) => [name, wrong]))
}
