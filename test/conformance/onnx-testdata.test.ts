/** ONNX's own test models, each asked in binary and in JSON: what the compiled binary answers is what ONNX says it is. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { parseExactJson } from '../../src/kit/exact-json.ts'
import { BINARY, createFolder, type Running, startServing } from '../kit/binary.ts'
import { inferBinary, inferJson, type V2Tensor } from '../kit/v2.ts'
import { type Case, linkCases, missingPackage } from './cases.ts'
import { differenceOf, type Element, elementsOf, jsonOf } from './elements.ts'
import {
  ANSWERED_OTHERWISE,
  CUT_OFF,
  NOT_ANSWERED,
  RANDOM,
  RANDOM_OPERATORS,
  REFUSED,
  REFUSED_WITHOUT_LOCALE,
} from './skipped.ts'

const missing = missingPackage()
if (missing !== undefined) console.warn(`ONNX's test models are not asked: ${missing}`)

/** Of 1072; 8 more where the system has the locale that they want. */
const SERVED_MIN = 989
const AT_ONCE = 8

describe.skipIf(missing !== undefined)('the test models of ONNX', () => {
  let folder: Awaited<ReturnType<typeof createFolder>>
  let server: Running
  let cases: readonly Case[]
  let served: readonly Case[]
  /** Name → why it is not served. */
  const refused = new Map<string, string>()
  /** What came in binary, which JSON must repeat. */
  const binary = new Map<string, Answer>()

  beforeAll(async () => {
    folder = await createFolder()
    const models = join(folder.path, 'models')
    await mkdir(models)
    cases = await linkCases(models)
    const command = [BINARY, 'serve', '--models', models, '--port', '0']
    server = await startServing(folder.path, { command })
    const index = await fetch(`${server.url}/v2/repository/index`, { method: 'POST' })
    for (const { name, state, reason } of (await index.json()) as IndexItem[]) {
      if (state !== 'READY') refused.set(name, reason ?? '')
    }
    served = cases.filter(({ name }) => !refused.has(name))
  }, 120_000)

  afterAll(async () => {
    expect(await server.stop()).toBe(0)
    await folder.remove()
  })

  test('are served, but for those that ONNX Runtime refuses or the protocol cannot carry', () => {
    const lists = [...REFUSED, REFUSED_WITHOUT_LOCALE]
    const unexpected = [...refused].filter(
      ([name, reason]) => !lists.some(({ models, words }) => models.includes(name) && words.test(reason)),
    )
    expect(unexpected).toEqual([])
    const expected = REFUSED.flatMap(({ models }) => models)
    expect(expected.filter((name) => !refused.has(name))).toEqual([])
    expect(served.length).toBeGreaterThanOrEqual(SERVED_MIN)
  })

  test('have chance in them where their values are not compared', () => {
    const withChance = cases.filter(({ operators }) =>
      operators.some((one) => RANDOM_OPERATORS.includes(one)),
    )
    expect(RANDOM.filter((name) => !withChance.some((one) => one.name === name))).toEqual([])
  })

  test('in binary: the answers are the stored ones', async () => {
    const wrong = await askAll(served, async ({ name, inputs, outputs }) => {
      const came = await inferBinary(server.url, name, inputs ?? [])
      const answer = new Map([...came].map(([output, tensor]) => [output, readBinary(tensor)]))
      binary.set(name, answer)
      return differenceOfAnswers(answer, outputs ?? [], RANDOM.includes(name))
    })
    const asked = served.length - NOT_ANSWERED.flatMap(({ models }) => models).length
    expect(binary.size).toBe(asked)
    for (const name of [...ANSWERED_OTHERWISE, CUT_OFF]) {
      expect(`${name}: ${wrong.get(name)}`).toContain(', expected ')
      wrong.delete(name)
    }
    expect(takeNotAnswered(wrong)).toEqual(new Map())
  }, 120_000)

  test('in JSON: the answers are those in binary, to the last digit', async () => {
    const wrong = await askAll(served, async ({ name, inputs }) => {
      const { status, text } = await inferJson(server.url, name, requestOf(inputs ?? []))
      if (status !== 200) return text
      const answer = readJson(text)
      return differenceInJson(answer, binary.get(name) ?? new Map(), RANDOM.includes(name))
    })
    expect(takeNotAnswered(wrong)).toEqual(new Map())
  }, 120_000)

  test.each([...ANSWERED_OTHERWISE])('%s is answered as by onnxruntime-node', async (name) => {
    const one = served.find((candidate) => candidate.name === name)
    const theirs = await askNode(one?.path ?? '', one?.inputs ?? [])
    for (const [output, { elements }] of binary.get(name) ?? []) {
      expect(differenceOf(elements, theirs.get(output) ?? [])).toBeUndefined()
    }
    expect(theirs.size).toBe(binary.get(name)?.size ?? Number.NaN)
  })

  test(`${CUT_OFF} is answered with the nearest number`, () => {
    const one = served.find(({ name }) => name === CUT_OFF)
    const [from = [], stored = []] = [one?.inputs, one?.outputs].map((tensors) =>
      tensors?.flatMap(elementsOf).map(Number),
    )
    const came = binary.get(CUT_OFF)?.get('output')?.elements ?? []
    expect(came.length).toBe(from.length)
    for (const [index, exact] of from.entries()) {
      const [ours, theirs] = [Number(came[index]), stored[index] ?? Number.NaN]
      // NaN and the infinities, which have no distance to themselves.
      if (Object.is(ours, exact)) continue
      expect(Math.abs(ours - exact)).toBeLessThanOrEqual(Math.abs(theirs - exact))
    }
  })
})

interface IndexItem {
  readonly name: string
  readonly state: string
  readonly reason?: string
}

interface Output {
  readonly datatype: string
  readonly shape: readonly number[]
  readonly elements: readonly Element[]
}

type Answer = ReadonlyMap<string, Output>

/** Asks for all of them, a few at once. Name → what is wrong, for those where something is. */
async function askAll(
  cases: readonly Case[],
  ask: (one: Case) => Promise<string | undefined>,
): Promise<Map<string, string>> {
  const wrong = new Map<string, string>()
  const waiting = cases.values()
  const askThem = async () => {
    for (const one of waiting) {
      const what = await ask(one).catch(String)
      if (what !== undefined) wrong.set(one.name, what)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, askThem))
  return wrong
}

/** Without those that cannot be asked; each of them must have been refused, and in its words. */
function takeNotAnswered(wrong: ReadonlyMap<string, string>): Map<string, string> {
  const rest = new Map(wrong)
  for (const { says, models } of NOT_ANSWERED) {
    for (const name of models) {
      expect(`${name}: ${wrong.get(name)?.replaceAll('\\"', '"')}`).toMatch(says)
      rest.delete(name)
    }
  }
  return rest
}

function readBinary(tensor: V2Tensor): Output {
  return { datatype: tensor.datatype, shape: tensor.shape, elements: elementsOf(tensor) }
}

function readJson(text: string): Answer {
  const { outputs } = parseExactJson(text, { keepsIntegers: true }) as {
    outputs: { name: string; datatype: string; shape: number[]; data: Element[] }[]
  }
  return new Map(
    outputs.map(({ name, datatype, shape, data }) => [
      name,
      { datatype, shape, elements: data.map((element) => narrow(element, datatype)) },
    ]),
  )
}

/** As a client takes the element into an array of the datatype. */
function narrow(element: Element, datatype: string): Element {
  if (typeof element === 'number' && /^U?INT64$/.test(datatype)) return BigInt(element)
  return typeof element === 'number' && datatype === 'FP32' ? Math.fround(element) : element
}

function requestOf(inputs: readonly V2Tensor[]): string {
  const items = inputs.map(
    (input) =>
      `{"name":${JSON.stringify(input.name)},"datatype":"${input.datatype}","shape":[${input.shape}],` +
      `"data":${jsonOf(elementsOf(input))}}`,
  )
  return `{"inputs":[${items}]}`
}

function differenceOfAnswers(came: Answer, expected: readonly V2Tensor[], isRandom: boolean) {
  if (came.size !== expected.length) return `${came.size} outputs, expected ${expected.length}`
  for (const tensor of expected) {
    const output = came.get(tensor.name)
    const difference = differenceOfOutputs(output, readBinary(tensor))
    if (difference !== undefined) return `output "${tensor.name}": ${difference}`
    const value = isRandom ? undefined : differenceOf(output?.elements ?? [], elementsOf(tensor))
    if (value !== undefined) return `output "${tensor.name}": ${value}`
  }
  return undefined
}

function differenceInJson(came: Answer, expected: Answer, isRandom: boolean) {
  if (came.size !== expected.size) return `${came.size} outputs, expected ${expected.size}`
  for (const [name, theirs] of expected) {
    const output = came.get(name)
    const difference = differenceOfOutputs(output, theirs)
    if (difference !== undefined) return `output "${name}": ${difference}`
    const at = theirs.elements.findIndex((element, index) => !isSame(output?.elements[index], element))
    if (at >= 0 && !isRandom)
      return `output "${name}": element ${at} is ${output?.elements[at]}, not ${theirs.elements[at]}`
  }
  return undefined
}

function differenceOfOutputs(came: Output | undefined, expected: Output): string | undefined {
  const [is, should] = [came, expected].map(
    (output) => `${output?.datatype} [${output?.shape}] with ${output?.elements.length} elements`,
  )
  return is === should ? undefined : `${is}, not ${should}`
}

/** The sign of a zero does not survive JSON. */
function isSame(came: Element | undefined, expected: Element): boolean {
  return came === expected || (Number.isNaN(came) && Number.isNaN(expected))
}

async function askNode(path: string, inputs: readonly V2Tensor[]): Promise<Map<string, readonly Element[]>> {
  const session = await InferenceSession.create(path)
  const outputs = await session.run(
    Object.fromEntries(inputs.map((input) => [input.name, nodeTensor(input)])),
  )
  return new Map(
    Object.entries(outputs).map(([name, { data }]) => [name, Array.from(data as ArrayLike<number>)]),
  )
}

function nodeTensor({ datatype, shape, bytes }: V2Tensor): Tensor {
  const buffer = bytes.slice().buffer as ArrayBuffer
  if (datatype === 'INT64') return new Tensor('int64', new BigInt64Array(buffer), shape)
  if (datatype === 'BYTES') return new Tensor('string', elementsOf({ datatype, bytes }).map(String), shape)
  if (datatype === 'FP32') return new Tensor('float32', new Float32Array(buffer), shape)
  throw new Error(`Cannot ask onnxruntime-node with ${datatype}`)
}
