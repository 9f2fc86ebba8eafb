/** Which libraries an engine hangs on, and whether they are still the ones it was made with. */
import { afterAll, expect, test } from 'bun:test'
import { utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { changedLibrary, loadedLibraries } from '../../src/engines/libraries.ts'
import { createFolder } from '../kit/binary.ts'

const folder = await createFolder()
afterAll(() => folder.remove())

const library = join(folder.path, 'libnvinfer.so.10.3.0')
const other = join(folder.path, 'libm.so.6')

async function libraries() {
  await writeFile(library, 'ten')
  await writeFile(other, 'mathematics')
  const line = (path: string) => `7f0000-7f1000 r-xp 00000000 fe:00 1   ${path}`
  await writeFile(join(folder.path, 'maps'), [library, library, other].map(line).join('\n'))
  return await loadedLibraries(join(folder.path, 'maps'))
}

test('those of NVIDIA, Intel and of providers count, each once', async () => {
  expect(Object.keys(await libraries())).toEqual([library])
})

test('one that was replaced, touched or taken away is named; while all are there, none is', async () => {
  const made = await libraries()
  expect(await changedLibrary(made)).toBeUndefined()
  await utimes(library, 1, 1)
  expect(await changedLibrary(made)).toBe(library)
  const again = await libraries()
  await writeFile(library, 'eleven')
  expect(await changedLibrary(again)).toBe(library)
  const last = await libraries()
  await Bun.file(library).delete()
  expect(await changedLibrary(last)).toBe(library)
})

test('a process whose map cannot be read hangs on none', async () => {
  expect(await loadedLibraries(join(folder.path, 'no-maps'))).toEqual({})
})
