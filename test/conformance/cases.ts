/** ONNX's own test models: NAME/model.onnx with NAME/test_data_set_0/input_0.pb and output_0.pb. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { onnx } from 'onnx-proto'
import type { V2Tensor } from '../kit/v2.ts'
import { readStoredTensor } from './stored-tensor.ts'

const ROOT = '/usr/share/libonnx-testdata/data'
const SUITES = ['node', 'pytorch-converted', 'pytorch-operator', 'simple']

const PACKAGE = 'libonnx-testdata'
const PACKAGE_VERSION = '1.12.'

export interface Case {
  /** SUITE.NAME: some names are in two suites. */
  readonly name: string
  /** Undefined where one of them is no tensor. */
  readonly inputs: readonly V2Tensor[] | undefined
  readonly outputs: readonly V2Tensor[] | undefined
  readonly path: string
  readonly operators: readonly string[]
}

/** What is missing for these tests, in words; undefined where nothing is. */
export function missingPackage(): string | undefined {
  if (!existsSync(ROOT)) return `there is no ${PACKAGE} (apt-get install ${PACKAGE})`
  const [, version = ''] = Bun.spawnSync(['dpkg-query', '--show', PACKAGE])
    .stdout.toString()
    .trim()
    .split('\t')
  if (version.startsWith(PACKAGE_VERSION)) return undefined
  return `${PACKAGE} is "${version}", the lists of what is skipped are of ${PACKAGE_VERSION}`
}

/** A model repository of all of them, by links. */
export async function linkCases(models: string): Promise<Case[]> {
  const cases: Case[] = []
  for (const suite of SUITES) {
    for (const folder of (await readdir(join(ROOT, suite))).sort()) {
      const name = `${suite}.${folder}`
      const path = join(ROOT, suite, folder)
      await mkdir(join(models, name), { recursive: true })
      await symlink(path, join(models, name, '1'))
      cases.push(await readCase(name, path))
    }
  }
  return cases
}

async function readCase(name: string, path: string): Promise<Case> {
  const { graph } = onnx.ModelProto.decode(await Bun.file(join(path, 'model.onnx')).bytes())
  // Before the fourth format of files every initializer stood among the inputs too.
  const initializers = new Set(graph?.initializer?.map((initializer) => initializer.name))
  const inputs = (graph?.input ?? []).filter((input) => !initializers.has(input.name))
  const data = join(path, 'test_data_set_0')
  return {
    name,
    path: join(path, 'model.onnx'),
    inputs: await readTensors(join(data, 'input'), inputs),
    outputs: await readTensors(join(data, 'output'), graph?.output ?? []),
    operators: graph?.node?.map(({ opType }) => opType ?? '') ?? [],
  }
}

/** The file's number is the place among the model's; the name inside is often another. */
async function readTensors(
  start: string,
  specs: readonly onnx.IValueInfoProto[],
): Promise<V2Tensor[] | undefined> {
  const tensors: V2Tensor[] = []
  for (const [index, { name, type }] of specs.entries()) {
    const file = Bun.file(`${start}_${index}.pb`)
    // An input that may be left out has no file.
    if (!(await file.exists())) continue
    const tensor = readStoredTensor(await file.bytes(), type ?? {})
    if (tensor === undefined) return undefined
    tensors.push({ ...tensor, name: name ?? '' })
  }
  return tensors
}
