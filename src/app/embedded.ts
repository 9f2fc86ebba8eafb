/**
 * Where the files are that travel inside the binary. This module is what runs from a checkout: it points at
 * `node_modules`. `scripts/build.ts` puts in its place one that imports the target's own files, compressed.
 */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { EmbeddedFile } from '../kit/embedded-file.ts'

const require = createRequire(import.meta.url)
const packageFolder = (name: string) => dirname(require.resolve(`${name}/package.json`))

export const EMBEDDED: { readonly onnxruntime: EmbeddedFile } = {
  onnxruntime: {
    kind: 'plain',
    path: join(packageFolder('onnxruntime-node'), `bin/napi-v6/linux/${process.arch}/libonnxruntime.so.1`),
  },
}
