/** A plug-in execution provider for tests, built by the C compiler of the machine. What it can be told is in its C. */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** Says why, so that a skipped test is seen; empty where it can be built. */
export const WITHOUT_COMPILER = Bun.which('gcc') === null ? ' (skipped: no gcc here)' : ''

const SOURCE = join(import.meta.dir, 'fake-provider.c')

/** What is wrong with the library itself. */
export type Flaw =
  /** It is a library, and no provider. */
  | 'no entry'
  /** Built for an ONNX Runtime that is not there yet. */
  | 'future api'
  /** It needs another library that is not there. */
  | 'missing dependency'
  /** It finds none of its devices. */
  | 'no device'

const FLAGS: Readonly<Record<Flaw, readonly string[]>> = {
  'no entry': ['-DCreateEpFactories=CreateNothing'],
  'future api': ['-DAPI=999'],
  'missing dependency': [],
  'no device': ['-DDEVICES=0'],
}

/** The path of the library; `memory` is what it has beside the host's. Its provider calls itself "FakeExecutionProvider", or as `name` says. */
export async function buildFakeProvider(
  folder: string,
  { flaw, name, memory }: { flaw?: Flaw; name?: string; memory?: 'own' | 'own and pinned' } = {},
): Promise<string> {
  await mkdir(folder, { recursive: true })
  const path = join(folder, 'libfake_provider.so')
  const flags = [
    ...(flaw === undefined ? [] : FLAGS[flaw]),
    ...(memory === undefined ? [] : ['-DDEVICE_MEMORY']),
    ...(memory === 'own' ? ['-DNO_PINNED'] : []),
    ...(name === undefined ? [] : [`-DEP_NAME="${name}"`]),
  ]
  const needed = join(folder, 'libmissing.so')
  const needs = flaw === 'missing dependency'
  if (needs) await compile(['-o', needed, '-x', 'c', '/dev/null'])
  await compile([...flags, '-o', path, SOURCE, ...(needs ? ['-Wl,--no-as-needed', needed] : [])])
  if (needs) await rm(needed)
  return path
}

async function compile(args: readonly string[]): Promise<void> {
  const gcc = Bun.spawn(['gcc', '-shared', '-fPIC', '-O1', '-Wall', '-Wextra', '-Werror', ...args], {
    stderr: 'inherit',
  })
  if ((await gcc.exited) !== 0) throw new Error('gcc failed: see above')
}
