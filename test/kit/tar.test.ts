import { expect, test } from 'bun:test'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeTar } from '../../src/kit/tar.ts'
import { randomBytes } from './random-bytes.ts'

const entries = [
  { name: 'limpet/a.txt', bytes: Buffer.from('first\n') },
  { name: 'limpet/empty', bytes: new Uint8Array(0) },
  { name: 'limpet/deep/block', bytes: randomBytes(512, 1) },
  { name: 'limpet/deep/more', bytes: randomBytes(513, 2) },
]

test('what is archived is what tar takes out of it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'limpet-test-'))
  try {
    await Bun.write(join(folder, 'x.tar'), writeTar(entries, Date.UTC(2026, 0, 2)))
    const tar = Bun.spawnSync(['tar', '-xf', 'x.tar'], { cwd: folder, stderr: 'inherit' })
    expect(tar.exitCode).toBe(0)
    for (const { name, bytes } of entries)
      expect(Buffer.from(bytes).equals(await readFile(join(folder, name)))).toBe(true)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('a name that does not fit is refused', () => {
  expect(() => writeTar([{ name: 'x'.repeat(101), bytes: new Uint8Array(0) }], 0)).toThrow(
    'more than 100 bytes',
  )
})
