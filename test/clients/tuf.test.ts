/** python-tuf from PyPI, as it is, against the compiled binary: registry and client. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BINARY, createFolder, MODELS, type Running, runToEnd, startServing } from '../kit/binary.ts'
import { checksIn, missingPython, runChecks } from './python.ts'

const missing = missingPython()
if (missing !== undefined) console.warn(`python-tuf is not tested: ${missing}`)

const SCRIPT = 'tuf_reference.py'

describe.skipIf(missing !== undefined)('python-tuf', () => {
  let folder: Awaited<ReturnType<typeof createFolder>>
  let registry: Running
  let results: Map<string, string | null>

  beforeAll(async () => {
    folder = await createFolder()
    const home = folder.path
    const run = async (...args: string[]) => {
      const { exitCode, stderr } = await runToEnd(home, { command: [BINARY, ...args] })
      expect([exitCode, stderr]).toEqual([0, ''])
    }
    await run('keys', 'init', '--out', 'fleet', '--family', 'vision')
    await run('keys', 'rotate', 'root', '--dir', 'fleet')
    registry = await startServing(home, {
      command: [BINARY, 'registry', '--state', 'fleet/registry', '--port', '0', '--mqtt-port', '0'],
      ready: /registry on (http\S+),/,
    })
    await cp(join(MODELS, 'simple'), join(home, 'simple'), { recursive: true, dereference: true })
    const [key = ''] = await readdir(join(home, 'fleet/publishers'))
    const access = [
      '--registry',
      registry.url,
      '--api-key-file',
      'fleet/registry/admin.key',
      '--root',
      'fleet/root.json',
    ]
    await run(
      'model',
      'push',
      'simple',
      '--family',
      'vision',
      '--key',
      join('fleet/publishers', key),
      ...access,
    )
    results = await runChecks(SCRIPT, { url: registry.url, env: { FOLDER: home, LIMPET: BINARY } })
  })
  afterAll(async () => {
    await registry.stop()
    await folder.remove()
  })

  test.each(checksIn(SCRIPT))('%s', (name) => {
    expect(results.get(name)).toBeNull()
  })
})
