import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Facts } from './key.ts'

/** What compiled engines are made by and made for: the libraries of NVIDIA, Intel and of providers. */
const RELEVANT =
  /(nvinfer|nvonnx|cudart|cublas|cudnn|cufft|libcuda\.|tensorrt|openvino|onnxruntime_providers)/
const LIBRARIES_MAX = 64

/** Of a file: which one it is, as far as one can tell without reading it. Undefined where it is not there. */
export async function stampOf(path: string): Promise<string | undefined> {
  return await stat(path).then(
    ({ size, mtimeMs }) => `${size} ${Math.round(mtimeMs)}`,
    () => undefined,
  )
}

/** The libraries that this process has loaded by now and that an engine may hang on, with their stamps. */
export async function loadedLibraries(maps = '/proc/self/maps'): Promise<Facts> {
  const text = await readFile(maps, 'utf8').catch(() => '')
  const paths = [...text.matchAll(/ (\/\S+\.so[\d.]*)$/gm)].map(([, path = '']) => path)
  const relevant = [...new Set(paths)].filter((path) => RELEVANT.test(basename(path))).sort()
  const stamps: [string, string][] = []
  for (const path of relevant.slice(0, LIBRARIES_MAX)) stamps.push([path, (await stampOf(path)) ?? ''])
  return Object.fromEntries(stamps)
}

/** The first of these that is not what it was. */
export async function changedLibrary(libraries: Facts): Promise<string | undefined> {
  for (const [path, stamp] of Object.entries(libraries)) if ((await stampOf(path)) !== stamp) return path
  return undefined
}
