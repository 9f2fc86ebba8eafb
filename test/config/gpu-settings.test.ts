/** [session.gpu] of a model's config: what it takes, and what it names as impossible. */
import { describe, expect, test } from 'bun:test'
import { parseModelSettings } from '../../src/config/model-settings.ts'

const parse = (text: string) =>
  parseModelSettings({ path: 'yolo/config.toml', text: `[session.gpu]\n${text}` })

test('one word for what is one of several is enough', () => {
  const { gpu } = parse('precision = "fp16"\nshapes.x = { min = [1], opt = [2], max = [4] }').session
  expect(gpu).toEqual({
    precision: ['fp16'],
    io_binding: true,
    cuda_graph: false,
    shapes: { x: [{ min: [1], opt: [2], max: [4] }] },
  })
})

test('several profiles of two inputs, a GPU, an accelerator, and what each may take', () => {
  const { gpu } = parse(`
    device = 1
    precision = ["int8", "fp16"]
    calibration_table = "ranges.flatbuffers"
    dla_core = 0
    workspace_bytes_max = 1073741824
    memory_bytes_max = 2147483648
    subgraph_nodes_min = 5
    builder_level = 3
    layout = "nhwc"
    convolution_search = "heuristic"
    tf32 = false
    [[session.gpu.shapes.x]]
    min = [1, 3]
    opt = [1, 3]
    max = [1, 3]
    [[session.gpu.shapes.x]]
    min = [2, 3]
    opt = [8, 3]
    max = [8, 3]
    [[session.gpu.shapes.y]]
    min = [1]
    opt = [1]
    max = [1]
    [[session.gpu.shapes.y]]
    min = [2]
    opt = [8]
    max = [8]
  `).session
  expect(gpu).toMatchObject({
    precision: ['int8', 'fp16'],
    dla_core: 0,
    shapes: { x: { length: 2 }, y: { length: 2 } },
  })
})

describe('named at the load:', () => {
  test.each([
    ['a word that it does not have', 'precison = "fp16"', /Unrecognized key: "precison"/],
    ['a precision that there is not', 'precision = "fp8"', /session\.gpu\.precision/],
    ['an accelerator in FP32', 'dla_core = 0', /computes in fp16 or int8, precision is fp32/],
    [
      'an accelerator in BF16',
      'dla_core = 1\nprecision = "bf16"',
      /computes in fp16 or int8, precision is bf16/,
    ],
    ['a table that nobody reads', 'calibration_table = "a"\nprecision = "fp16"', /is for precision int8/],
    ['a table somewhere else', 'calibration_table = "../a"\nprecision = "int8"', /calibration_table/],
    [
      'a least above the most',
      'shapes.x = { min = [5], opt = [5], max = [4] }',
      /dimension 0 is 5 to 4 with 5 in mind/,
    ],
    [
      'a best outside',
      'shapes.x = { min = [1, 1], opt = [1, 9], max = [1, 8] }',
      /dimension 1 is 1 to 8 with 9/,
    ],
    ['unlike ranks', 'shapes.x = { min = [1], opt = [1, 2], max = [1] }', /have 1, 2 and 1 dimensions/],
    ['a graph without binding', 'cuda_graph = true\nio_binding = false', /cuda_graph/],
    ['a most that is missing', 'shapes.x = { min = [1], opt = [1] }', /shapes\.x/],
    [
      'one profile of one input and two of another',
      'shapes.x = { min = [1], opt = [1], max = [1] }\nshapes.y = [{ min = [1], opt = [1], max = [1] }, { min = [2], opt = [2], max = [2] }]',
      /as many of each input: "x" 1, "y" 2/,
    ],
    [
      'a comma in a name',
      'shapes."a,b" = { min = [1], opt = [1], max = [1] }',
      /no name with a comma in it: "a,b"/,
    ],
  ])('%s', (_, text, says) => {
    expect(() => parse(text)).toThrow(says)
  })
})
