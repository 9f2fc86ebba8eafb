import { afterAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { cleanEnvironment, createFolder } from '../kit/binary.ts'

const { path, remove } = await createFolder()
afterAll(remove)

/** Bun alone would say it and go on, with whatever was left half done. */
test.each(['thrown', 'rejected'])(
  'an error that nobody caught ends the process, with its words: %s',
  async (kind) => {
    const main = join(import.meta.dir, '../../src/main.ts')
    const preload = Bun.fileURLToPath(import.meta.resolve('../kit/fail-later.ts'))
    const command = [process.execPath, '--preload', preload, main, 'serve', '--port', '0']
    await using child = Bun.spawn([...command, '--state', path, '--models', path], {
      cwd: path,
      env: { ...cleanEnvironment(path), TEST_FAIL: kind },
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
    })
    for await (const printed of child.stdout) if (Buffer.from(printed).includes('serves')) break
    await child.stdin.end()
    expect(await child.exited).toBe(70)
    expect(await new Response(child.stderr).text()).toMatch(/^limpet: Error: nobody caught this\n +at /m)
  },
)
