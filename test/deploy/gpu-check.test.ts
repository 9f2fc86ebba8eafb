/** scripts/gpu-check.sh without a GPU: what it carries over is verified, and what cannot be checked says why. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { chmod, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, runToEnd } from '../kit/binary.ts'

// Servers are started, and a busy machine takes its time.
setDefaultTimeout(120_000)

const SCRIPT = join(import.meta.dir, '../../scripts/gpu-check.sh')
const SHELLCHECK = Bun.which('shellcheck', { PATH: '/usr/bin:/bin' })

interface Finding {
  readonly check: string
  readonly result: string
  readonly says: string
}

test.skipIf(SHELLCHECK === null)('a linter for shell scripts finds nothing', async () => {
  const { stdout, exitCode } = await runToEnd('/', { command: [SHELLCHECK ?? '', SCRIPT] })
  expect([stdout, exitCode]).toEqual(['', 0])
})

describe.skipIf(process.arch !== 'x64')('what was packed', () => {
  let folder: Awaited<ReturnType<typeof createFolder>>
  const here = (name: string) => join(folder.path, name)
  // Node, which fetches Bun, is wherever it is.
  const env = { PATH: process.env['PATH'] ?? '' }
  const call = (...args: string[]) => runToEnd(folder.path, { command: ['bash', SCRIPT, ...args], env })

  beforeAll(async () => {
    folder = await createFolder()
    // In the place of 127 MB.
    await Bun.write(here('limpet'), `#!/bin/sh\nexec "${BINARY}" "$@"\n`)
    await chmod(here('limpet'), 0o755)
    const args = ['--without-gpu', '--part-mib', '1', '--binary', here('limpet')]
    const { stdout, stderr, exitCode } = await call('--pack', here('packed'), ...args)
    expect({ exitCode, stdout, stderr }).toMatchObject({ exitCode: 0 })
  })
  afterAll(() => folder.remove())

  test('lies in parts of the size that was asked for', async () => {
    const names = (await readdir(here('packed'))).filter((name) => name.startsWith('part-')).sort()
    const sizes = names.map((name) => Bun.file(join(here('packed'), name)).size)
    expect(sizes.length).toBeGreaterThan(1)
    expect(sizes.slice(0, -1).every((size) => size === 2 ** 20)).toBe(true)
    expect(sizes.at(-1)).toBeLessThanOrEqual(2 ** 20)
  })

  test('is checked as far as it goes without a GPU, and the rest says what is wanting', async () => {
    const args = ['--work', here('work'), '--seconds', '0.05', '--no-gpu', '--json', here('findings.json')]
    const { stdout, stderr, exitCode } = await call('--run', here('packed'), ...args)
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 })
    const findings = (await Bun.file(here('findings.json')).json()) as Finding[]
    expect(stdout.split('\n').filter((line) => line.startsWith('| '))).toHaveLength(findings.length + 1)
    const of = (result: string) => findings.filter((each) => each.result === result)
    expect(of('failed')).toEqual([])
    expect(of('ok').map(({ check }) => check)).toEqual([
      'processor: runs the sample models',
      'processor: latency, one request at a time',
      'processor: requests a second of text-orientation',
      'a wrong CUDA provider library is passed over, and named',
    ])
    expect(new Set(of('not run').map(({ says }) => says))).toEqual(
      new Set(['no NVIDIA GPU', 'no build of ONNX Runtime for GPUs (--libraries)']),
    )
  })

  test('is not unpacked where a byte of it is another one', async () => {
    const part = here('packed/part-001')
    const bytes = await Bun.file(part).bytes()
    bytes[1000] = (bytes[1000] ?? 0) ^ 1
    await Bun.write(part, bytes)
    const { stdout, stderr, exitCode } = await call('--run', here('packed'), '--work', here('other'))
    expect(exitCode).toBe(2)
    expect(`${stdout}${stderr}`).toContain('part-001')
    expect(stderr).toContain('carry them over again')
    expect(await Bun.file(here('other/limpet')).exists()).toBe(false)
  })
})

test.each([
  [['--pack'], 'expected a folder behind --pack'],
  [['--pack', '/tmp/limpet-none', '--part-mib', 'much'], 'Cannot use --part-mib "much"'],
  [['--pack', '/tmp/limpet-none', '--binary', '/none'], 'Cannot use --binary "/none": expected a program'],
  [['--run', '/none'], 'there is no SHA256SUMS in it'],
])('%j is refused: %s', async (args, says) => {
  const { stderr, exitCode } = await runToEnd('/', { command: ['bash', SCRIPT, ...args] })
  expect(exitCode).toBe(2)
  expect(stderr).toContain(says)
})
