import { describe, expect, test } from 'bun:test'
import { parseModelSettings } from '../../src/config/model-settings.ts'

const HEAD = `platform: "ensemble"
input { name: "IMAGE" data_type: TYPE_UINT8 dims: [ -1 ] }
output { name: "SCORES" data_type: TYPE_FP32 dims: [ -1 ] }
ensemble_scheduling {
`
const step = (model: string, inputs: Record<string, string>, outputs: Record<string, string>) => {
  const map = (name: string, of: Record<string, string>) =>
    Object.entries(of).map(([key, value]) => `${name} { key: "${key}" value: "${value}" }`)
  return `  step { model_name: "${model}" model_version: -1 ${[...map('input_map', inputs), ...map('output_map', outputs)].join(' ')} }\n`
}
const PRE = step('pre', { in: 'IMAGE' }, { out: 'pixels' })
const NET = step('net', { x: 'pixels' }, { y: 'SCORES' })

const parse = (text: string) => parseModelSettings({ path: 'whole/config.pbtxt', text })
const refusal = (text: string, path = 'whole/config.pbtxt'): string => {
  try {
    parseModelSettings({ path, text })
  } catch (error) {
    return (error as Error).message
  }
  return 'nothing was refused'
}

test("Triton's ensemble_scheduling and the shorter form say the same", () => {
  const pbtxt = parse(`${HEAD}${PRE}  step [ { model_name: "net" model_version: 3
    input_map { key: "x" value: "pixels" } output_map { key: "y" value: "SCORES" } } ]
    max_inflight_requests: 4
  }`)
  const toml = parseModelSettings({
    path: 'whole/config.toml',
    text: `
    inputs = [{ name = "IMAGE", datatype = "UINT8", dims = [-1] }]
    outputs = [{ name = "SCORES", datatype = "FP32", dims = [-1] }]
    [[ensemble.steps]]
    model = "pre"
    inputs = { in = "IMAGE" }
    outputs = { out = "pixels" }
    [[ensemble.steps]]
    model = "net"
    version = "3"
    inputs = { x = "pixels" }
    outputs = { y = "SCORES" }`,
  })
  expect(pbtxt.ensemble).toEqual({
    steps: [
      { model: 'pre', version: undefined, inputs: { in: 'IMAGE' }, outputs: { out: 'pixels' } },
      { model: 'net', version: '3', inputs: { x: 'pixels' }, outputs: { y: 'SCORES' } },
    ],
  })
  expect(toml.ensemble).toEqual(pbtxt.ensemble)
})

test("the same in the JSON of a client's load", () => {
  const { ensemble } = parseModelSettings({
    path: 'whole/config.json',
    text: JSON.stringify({
      name: 'whole',
      platform: 'ensemble',
      ensemble_scheduling: {
        step: [{ model_name: 'a', model_version: '-1', input_map: { x: 'in' }, output_map: { y: 'out' } }],
      },
    }),
  })
  expect(ensemble?.steps[0]).toMatchObject({ model: 'a', inputs: { x: 'in' }, outputs: { y: 'out' } })
})

describe('what cannot work is refused, by name and line', () => {
  test.each<[what: string, steps: string, problem: string]>([
    [
      'a tensor from nowhere',
      PRE + step('net', { x: 'pixel' }, { y: 'SCORES' }),
      'line 6: ensemble_scheduling.step: step 2 ("net"): input "x" wants tensor "pixel", which no step makes and no input of the ensemble is',
    ],
    [
      'a tensor that leads nowhere',
      PRE + NET + step('more', { x: 'pixels' }, { y: 'left' }),
      'line 7: ensemble_scheduling.step: step 3 ("more"): tensor "left" is unused: no step reads it and it is no output of the ensemble',
    ],
    [
      'a tensor that is made twice',
      PRE + NET + step('other', { x: 'pixels' }, { y: 'SCORES' }),
      'line 7: ensemble_scheduling.step: step 3 ("other"): tensor "SCORES" is made twice, by step 2 too',
    ],
    [
      'a tensor that the request brings as well',
      PRE + NET + step('other', { x: 'pixels' }, { y: 'IMAGE' }),
      'step 3 ("other"): tensor "IMAGE" is made twice, by an input of the ensemble too',
    ],
    [
      'a circle',
      PRE +
        step('net', { x: 'pixels', back: 'late' }, { y: 'SCORES' }) +
        step('late', { x: 'SCORES' }, { y: 'late' }),
      'line 6: ensemble_scheduling.step: step 2 ("net"): waits for itself: step 2, step 3 go round in a circle',
    ],
    ['an output that nobody makes', PRE, 'line 4: ensemble_scheduling: output "SCORES" is made by no step'],
    [
      'an input that nobody reads',
      step('net', { x: 'SCORES' }, { y: 'other' }),
      'line 4: ensemble_scheduling: input "IMAGE" is read by no step',
    ],
    [
      'a step that gives nothing',
      PRE + NET + step('end', { x: 'pixels' }, {}),
      'step 3 ("end"): gives no output',
    ],
    ['no step', '', 'line 4: ensemble_scheduling: Too small: expected array to have >=1 items'],
    [
      'a step without a model',
      PRE + NET.replace('model_name: "net" ', ''),
      'line 6: ensemble_scheduling.step.model_name: is missing',
    ],
    [
      'a namespace',
      PRE + NET.replace('model_version: -1', 'model_namespace: "a"'),
      'line 6: ensemble_scheduling.step.model_namespace: is not supported',
    ],
    [
      'an unknown field',
      PRE + NET.replace('model_version: -1', 'modelversion: -1'),
      'line 6: ensemble_scheduling.step.modelversion: is unknown',
    ],
    [
      'an entry of a map that is there twice',
      PRE + NET.replace('model_version: -1', 'input_map { key: "x" value: "IMAGE" }'),
      'line 6: ensemble_scheduling.step.input_map.key: "x" is there twice',
    ],
  ])('%s', (_, steps, problem) => {
    expect(refusal(`${HEAD}${steps}}`)).toContain(problem)
  })

  test.each([
    ['max_batch_size: 4 dynamic_batching { }', 'line 1: dynamic_batching: an ensemble runs nothing itself'],
    ['instance_group { count: 2 }', 'line 1: instance_group: an ensemble runs nothing itself'],
    ['sequence_batching { }', 'an ensemble runs nothing itself'],
    ['response_cache { enable: true }', 'response_cache: an ensemble runs nothing itself'],
    [
      'model_warmup { name: "a" batch_size: 1 inputs { key: "IMAGE" value { data_type: TYPE_UINT8 dims: [ 1 ] zero_data: true } } }',
      'line 1: model_warmup: an ensemble runs nothing itself',
    ],
    ['optimization { graph { level: 1 } }', 'line 1: optimization: an ensemble runs nothing itself'],
    [
      'backend: "onnxruntime"',
      'line 1: backend: is "onnxruntime", expected "": there is ensemble_scheduling',
    ],
  ])('%s', (setting, problem) => {
    expect(refusal(`${setting} ${HEAD}${PRE}${NET}}`)).toContain(problem)
  })

  test('another shape for its models', () => {
    const reshape = 'dims: [ 4 ] reshape { shape: [ 2, 2 ] } }'
    const text = `${HEAD}${PRE}${NET}}`.replace('dims: [ -1 ] }', reshape)
    expect(refusal(text)).toContain('reshape: an ensemble runs nothing itself')
  })

  test('a platform that does not go with it, either way', () => {
    const text = `${HEAD}${PRE}${NET}}`
    expect(refusal(text.replace('"ensemble"', '"onnxruntime_onnx"'))).toContain(
      'line 1: platform: is "onnxruntime_onnx", expected "ensemble": there is ensemble_scheduling',
    )
    expect(refusal('platform: "ensemble"')).toContain('line 1: platform: is "ensemble"')
  })

  test('all at once, and in TOML by the step', () => {
    const text = `
      [[ensemble.steps]]
      model = "a"
      inputs = { x = "t" }
      outputs = { y = "t" }
      [[ensemble.steps]]
      model = "b"
      colour = "red"`
    expect(refusal(text, 'whole/config.toml')).toContain('colour')
    const circle = refusal(text.replace('colour = "red"', 'outputs = { y = "t" }'), 'whole/config.toml')
    expect(circle).toContain('step 1 ("a"): waits for itself: step 1 go round in a circle')
    expect(circle).toContain('step 2 ("b"): tensor "t" is made twice, by step 1 too')
    expect(circle).toContain('ensemble.steps[1]')
    expect(circle).toContain('every tensor is read by a step: nothing is left to answer')
  })
})
