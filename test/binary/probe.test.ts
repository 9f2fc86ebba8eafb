/** `limpet probe`, as an operator or the agent runs it: whatever a version does there is a verdict on it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, cleanEnvironment, createFolder, runToEnd, writeModel } from '../kit/binary.ts'
import { golden, writeGolden } from '../kit/golden.ts'
import * as zoo from '../kit/model-zoo.ts'

const folder = await createFolder()
const inModels = (name: string) => join(folder.path, 'models', name)

/** OUTPUT0 is 1 / INPUT1. */
const divided = (by: number, answer: number) => ({
  inputs: [golden('INPUT0', 'FP32', [1], [by === 0 ? 0 : 1]), golden('INPUT1', 'FP32', [1], [by])],
  outputs: [golden('OUTPUT0', 'FP32', [1], [answer])],
})
const counted = (steps: number) => ({
  inputs: [golden('INPUT0', 'INT64', [1], [steps])],
  outputs: [golden('OUTPUT0', 'FP32', [], [1])],
})

beforeAll(async () => {
  for (const name of ['right', 'wrong', 'nan', 'expects-nan', 'unreadable', 'plain'])
    await writeModel(join(folder.path, 'models'), name, { onnx: zoo.divide() })
  await writeGolden(inModels('right'), [divided(2, 0.5), divided(4, 0.2501)])
  await writeGolden(inModels('wrong'), [divided(2, 0.5), divided(4, 0.3)])
  await writeGolden(inModels('nan'), [divided(2, 0.5), divided(0, 1)])
  await writeGolden(inModels('expects-nan'), [divided(0, Number.NaN)])
  await Bun.write(join(inModels('unreadable'), 'golden/inputs.json'), '[')
  await Bun.write(join(inModels('unreadable'), 'golden/outputs.json'), '[')
  await writeModel(join(folder.path, 'models'), 'cut', { onnx: zoo.divide().slice(0, 60) })
  await writeModel(join(folder.path, 'models'), 'slow', { onnx: zoo.slow() })
  await writeGolden(inModels('slow'), [counted(100_000_000)])
  await writeModel(join(folder.path, 'models'), 'hungry', { onnx: zoo.hungry() })
  await writeGolden(inModels('hungry'), [counted(300 * 2 ** 20)])
  await writeModel(join(folder.path, 'models'), 'two', {
    onnx: zoo.divide(),
    config: 'version_policy = "all"',
  })
  await writeModel(join(folder.path, 'models'), 'two', { onnx: zoo.divide(), version: '2' })
})
afterAll(() => folder.remove())

async function probe(name: string, ...args: string[]) {
  const command = [BINARY, 'probe', inModels(name), ...args]
  const { stdout, exitCode } = await runToEnd(folder.path, { command })
  const report = JSON.parse(stdout) as Record<string, unknown>
  return { report, exitCode }
}

describe('fit', () => {
  test('a version that answers its samples, with what was measured of it', async () => {
    const { report, exitCode } = await probe('right')
    expect(exitCode).toBe(0)
    expect(report).toEqual({
      format: 1,
      fit: true,
      code: '',
      reason: '',
      version: '1',
      providers: ['CPUExecutionProvider'],
      refusals: [],
      placement: [{ provider: 'CPUExecutionProvider', nodes: 1, operators: ['Div'] }],
      signature: {
        inputs: ['INPUT0', 'INPUT1'].map((name) => ({ name, datatype: 'FP32', shape: [-1] })),
        outputs: [{ name: 'OUTPUT0', datatype: 'FP32', shape: [-1] }],
      },
      load_ms: expect.any(Number),
      golden: { samples: 2, passed: 2 },
      latency: { runs: 200, p50_ms: expect.any(Number), p95_ms: expect.any(Number) },
      memory: { resident_bytes_max: expect.any(Number), limit_bytes: 4096 * 2 ** 20 },
    })
    const { resident_bytes_max: bytes } = report['memory'] as { resident_bytes_max: number }
    expect(bytes).toBeGreaterThan(1e7)
  })

  test('NaN, where NaN is the right answer', async () => {
    expect((await probe('expects-nan')).report).toMatchObject({
      fit: true,
      golden: { samples: 1, passed: 1 },
    })
  })

  test('one without samples, as far as it can be known', async () => {
    expect((await probe('plain')).report).toMatchObject({ fit: true, golden: null, latency: null })
  })
})

describe('not fit, and why', () => {
  test.each([
    ['wrong', 'golden_failed', 'golden sample 1: output "OUTPUT0" holds 0.25 at 0, expected 0.3'],
    ['nan', 'not_finite', 'golden sample 1: output "OUTPUT0" holds NaN at 0, expected 1'],
    ['unreadable', 'golden_failed', 'Cannot read the golden samples in "inputs.json"'],
    ['cut', 'load_failed', 'Cannot'],
    ['two', 'load_failed', 'holds 2 versions, expected one'],
  ])('%s: %s', async (name, code, words) => {
    const { report, exitCode } = await probe(name)
    expect(report).toMatchObject({ fit: false, code, reason: expect.stringContaining(words) })
    expect(exitCode).toBe(1)
  })

  test('samples that are not where they are said to be', async () => {
    expect((await probe('plain', '--golden', 'proofs')).report).toMatchObject({
      fit: false,
      code: 'golden_failed',
    })
  })

  test('not done in time', async () => {
    const { report } = await probe('slow', '--seconds', '1')
    expect(report).toMatchObject({ code: 'probe_timeout', reason: 'it was not done within 1 s' })
  })

  test('more memory than it may have', async () => {
    const { report } = await probe('hungry', '--memory-mb', '500')
    expect(report).toMatchObject({ code: 'memory_exceeded', memory: { limit_bytes: 500 * 2 ** 20 } })
  })

  test.each(['SIGSEGV', 'SIGKILL'] as const)('ended by %s', async (signal) => {
    const child = Bun.spawn([BINARY, 'probe', inModels('slow'), '--seconds', '60'], {
      cwd: folder.path,
      env: cleanEnvironment(folder.path),
      stdout: 'pipe',
      stderr: 'ignore',
    })
    const inner = await childOf(child.pid)
    process.kill(inner, signal)
    const report = JSON.parse(await new Response(child.stdout).text()) as object
    expect(report).toMatchObject({ fit: false, code: 'probe_crashed' })
    expect(await child.exited).toBe(1)
  })
})

test('the process that proves ends with the one that watches it', async () => {
  const child = Bun.spawn([BINARY, 'probe', inModels('slow')], {
    cwd: folder.path,
    env: cleanEnvironment(folder.path),
    stdout: 'ignore',
    stderr: 'ignore',
  })
  const inner = await childOf(child.pid)
  child.kill('SIGKILL')
  await child.exited
  while ((await readFile(`/proc/${inner}/stat`, 'utf8').catch(() => ') Z')).match(/\) (\S)/)?.[1] !== 'Z')
    await Bun.sleep(10)
}, 20_000)

test('gives way: the kernel takes it first, and others run before it', async () => {
  const child = Bun.spawn([BINARY, 'probe', inModels('slow')], {
    cwd: folder.path,
    env: cleanEnvironment(folder.path),
    stdout: 'ignore',
    stderr: 'ignore',
  })
  const inner = await childOf(child.pid)
  const nice = async () =>
    Number((await readFile(`/proc/${inner}/stat`, 'utf8')).split(') ')[1]?.split(' ')[16])
  while ((await nice()) !== 10) await Bun.sleep(10)
  while ((await readFile(`/proc/${inner}/oom_score_adj`, 'utf8')).trim() !== '1000') await Bun.sleep(10)
  child.kill('SIGKILL')
  await child.exited
}, 20_000)

test.each([
  ['a folder that is not there', ['nowhere'], 65, 'Cannot probe "nowhere": it is no folder'],
  ['a tolerance that is none', ['.', '--atol', '-1'], 64, 'expected a number from 0 to 1000'],
])('%s is refused in words', async (_, args, code, words) => {
  const { stderr, exitCode } = await runToEnd(folder.path, { command: [BINARY, 'probe', ...args] })
  expect(stderr).toContain(words)
  expect(exitCode).toBe(code)
})

/** Once there is one. */
async function childOf(pid: number): Promise<number> {
  for (;;) {
    const threads = await readdir(`/proc/${pid}/task`)
    const lists = threads.map((thread) =>
      readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => ''),
    )
    const [child] = (await Promise.all(lists)).join(' ').split(' ').filter(Boolean)
    if (child !== undefined) return Number(child)
    await Bun.sleep(10)
  }
}
