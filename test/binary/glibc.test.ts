import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { BINARY, BINARY_ARM64 } from '../kit/binary.ts'

/** Ubuntu 20.04, which JetPack 5 is made of: the newest that there is for a Xavier. */
const GLIBC_MINOR = 31

const ROOT = join(import.meta.dir, '../..')
const library = (of: string) =>
  join(ROOT, `node_modules/onnxruntime-node/bin/napi-v6/linux/${of}/libonnxruntime.so.1`)

/** Of the names of versions, which end with a zero, the newest of glibc 2. */
async function newestGlibc(file: string): Promise<number> {
  const text = Buffer.from(await Bun.file(file).bytes()).toString('latin1')
  const minors = [...text.matchAll(/GLIBC_2\.(\d+)(?:\.\d+)?\0/g)].map(([, minor]) => Number(minor))
  return Math.max(...minors)
}

test.each([
  ['the binary', BINARY],
  ['the binary for Arm', BINARY_ARM64],
  ['ONNX Runtime inside it', library('x64')],
  ['ONNX Runtime inside it, for Arm', library('arm64')],
])('asks for no newer glibc than a board of JetPack 5 has: %s', async (_, file) => {
  const newest = await newestGlibc(file)
  expect(newest).toBeGreaterThan(0)
  expect(newest).toBeLessThanOrEqual(GLIBC_MINOR)
})
