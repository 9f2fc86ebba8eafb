import { afterAll, afterEach, describe, expect, test } from 'bun:test'
import type { InferOptions } from '../../src/app/infer.ts'
import { EdgeError } from '../../src/kit/errors.ts'
import { InferStage } from './infer-stage.ts'
import { buildWav } from './wav-file.ts'

const stage = new InferStage()
afterEach(() => stage.server.forget())
afterAll(() => stage.clear())

const model = 'twice/plain'

/** `code: message` of the refusal. */
async function refuse(options: Partial<InferOptions>): Promise<string> {
  const error = await stage.infer(options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (error instanceof EdgeError) return `${error.code}: ${error.message}`
  throw new Error('Expected an EdgeError', { cause: error })
}

describe('options that cannot be right are refused:', () => {
  const refusals: [string, Partial<InferOptions>, string][] = [
    ['nothing to infer', { inputs: [] }, 'wanted FILE, "-" or --input NAME=FILE|JSON'],
    ['a URL without http', { url: 'localhost:8000' }, 'wanted one like http://127.0.0.1:8000'],
    ['no time to wait', { timeoutMs: 0 }, 'Cannot wait 0 ms: wanted a whole number from 1 to'],
    ['no number to wait', { timeoutMs: Number.NaN }, 'Cannot wait NaN ms'],
    ['more than a timer holds', { timeoutMs: 2 ** 31 }, 'wanted a whole number from 1 to 2147483647'],
    ['an input without a value', { inputs: ['x'] }, 'it is not NAME=FILE or NAME=JSON'],
    ['an input twice', { inputs: ['x=1', 'x=2'] }, 'Cannot use --input "x" twice'],
    ['broken JSON', { inputs: ['x=[1'] }, 'Cannot read "[1" as JSON'],
    [
      'an unknown input',
      { inputs: ['z=[1, 2]'] },
      'Cannot fill input "z": the model has no such input; it has "x"',
    ],
    [
      'a value that does not fit',
      { inputs: ['x=[0.5, 1]'] },
      'Cannot fill input "x" (INT32): Cannot write 0.5',
    ],
    ['a missing file', { files: ['/no/such.png'] }, 'Cannot read "/no/such.png": ENOENT'],
    ['a folder', { files: ['/'] }, 'Cannot read "/": EISDIR'],
  ]

  test.each(refusals)('%s', async (_name, options, reason) => {
    const message = await refuse({ model, inputs: ['x=[1, 2]'], ...options })
    expect(message).toStartWith('input_invalid: Cannot ')
    expect(message).toContain(reason)
  })
})

describe('a file is refused', () => {
  const files: [string, string, Uint8Array | string, string][] = [
    ['of another kind', 'a.mp3', 'ID3', 'it is not a PNG, JPEG, WebP, BMP, GIF or WAV file'],
    ['of broken JSON', 'a.json', '{', 'a.json" as JSON: '],
    ['of JSON that is no object', 'a.json', '[1]', 'it is not an object; wanted {"INPUT": [numbers], …}'],
    ['of JSON for another model', 'a.json', '{"z": [1]}', 'the model has no such input; it has "image"'],
    ['of a broken image', 'a.png', Buffer.from('\x89PNG', 'latin1'), 'Cannot decode the image'],
    [
      'of a recording, for a model of images',
      'a.wav',
      'RIFF\0\0\0\0WAVE',
      '[client.inputs."image"] with from = "audio"',
    ],
  ]

  test.each(files)('%s', async (_name, name, content, reason) => {
    expect(await refuse({ files: [await stage.write(name, content)] })).toContain(reason)
  })

  test('that is a broken recording', async () => {
    const path = await stage.write('cut.wav', buildWav().slice(0, -1))
    expect(await refuse({ model: 'listener', files: [path] })).toContain('as WAV: its header says 46 bytes')
  })

  test('that is an image, for a model that does not say how to take one', async () => {
    expect(await refuse({ model, files: [await stage.photo()] })).toBe(
      'input_invalid: Cannot turn the image into an input: the model does not say how; its config.toml needs a ' +
        'table [client.inputs."x"] with from = "image" (inputs: "x")',
    )
  })

  test('that is a recording, for an input made of images', async () => {
    expect(await refuse({ inputs: [`image=${await stage.speech()}`] })).toBe(
      'input_invalid: Cannot make input "image" of an audio file: the model\'s hints make it from "image"',
    )
  })

  test('that is a whole request, beside an option', async () => {
    const path = await stage.write('request.json', '{"inputs": [{"name": "x"}]}')
    expect(await refuse({ model, files: [path], inputs: ['x=1'] })).toContain(
      'Cannot add --input to a whole request',
    )
  })
})

describe('a server', () => {
  test('that is not there is named, with how to start one', async () => {
    expect(await refuse({ url: 'http://127.0.0.1:1', inputs: ['x=1'] })).toBe(
      'peer_failed: Cannot reach http://127.0.0.1:1: nothing listens there; start the server with ' +
        '"limpet up --models DIR", or name another one with --url',
    )
  })

  test('without the model is asked which it has', async () => {
    expect(await refuse({ model: 'cat', inputs: ['x=1'] })).toBe(
      `model_unknown: Cannot find model "cat" on ${stage.server.url}: it has "colours", "listener", "twice/plain"`,
    )
  })

  test('without the model that does not say which it has is quoted', async () => {
    stage.server.answers.set('/v2/repository/index', () =>
      Response.json({ error: 'restricted' }, { status: 403 }),
    )
    expect(await refuse({ model: 'cat', inputs: ['x=1'] })).toEndWith("answered 404: unknown model 'cat'")
  })

  test('without the version is quoted', async () => {
    expect(await refuse({ model, modelVersion: '9', inputs: ['x=1'] })).toStartWith('model_unknown: ')
  })

  test('that answers nothing within the time is given up', async () => {
    stage.server.answers.set('/v2/models/colours', () => Promise.withResolvers<Response>().promise)
    expect(await refuse({ inputs: ['image=[1]'], timeoutMs: 50 })).toBe(
      `deadline_exceeded: Cannot get an answer from ${stage.server.url}: none within 50 ms; a longer wait is ` +
        '--timeout-ms N',
    )
  })
})

describe('a bad answer is told in the server’s words, or in ours:', () => {
  const say = (status: number, error: string) => () => Response.json({ error }, { status })
  const hints = { inputs: { x: { from: 'image', widht: 1 } }, outputs: {} }
  const output = { name: 'scores', datatype: 'FP32', shape: [1, 2] }
  const asked: [string, () => Response, string][] = [
    ['not ready', say(400, 'not ready'), 'input_invalid: '],
    ['an empty page', () => new Response(null, { status: 500 }), 'answered 500: no reason given'],
    ['a page', () => new Response('<h1>Bad\nGateway', { status: 502 }), 'answered 502: "<h1>Bad Gateway"'],
    ['another place', () => Response.redirect('http://127.0.0.1:1/'), 'peer_failed: '],
    ['a text', () => new Response('hello'), 'is it a server of the Open Inference Protocol?'],
    ['no metadata', () => Response.json({}), 'says of the model: '],
    [
      'a wrong hint',
      () => Response.json({ name: '', inputs: [], outputs: [], properties: { client: hints } }),
      'widht',
    ],
  ]
  const run: [string, () => Response, string][] = [
    ['a wrong shape', say(400, 'wrong shape'), 'input_invalid: Cannot run model "colours": '],
    ['a full queue', say(429, 'queue holds 64'), 'queue_full: '],
    ['a model that loads', say(503, 'loading'), 'model_unavailable: '],
    ['too late', say(504, 'too late'), 'deadline_exceeded: '],
    ['a terminal’s command', say(500, 'a\u001b[2Jb'), 'answered 500: a\uFFFD[2Jb'],
    ['no values', () => Response.json({ outputs: [output] }), 'has neither data nor a binary size'],
    ['too few values', () => Response.json({ outputs: [{ ...output, data: [1] }] }), 'and has 4 bytes'],
  ]

  test.each(asked)('%s when asked about the model', async (_name, answer, reason) => {
    stage.server.answers.set('/v2/models/colours', answer)
    expect(await refuse({ files: [await stage.photo()] })).toContain(reason)
  })

  test.each(run)('%s when asked to infer', async (_name, answer, reason) => {
    stage.server.answers.set('/v2/models/colours/infer', answer)
    expect(await refuse({ files: [await stage.photo()] })).toContain(reason)
  })

  test('no output to carry to the next window', async () => {
    const outputs = [{ name: 'loudness', datatype: 'FP32', shape: [1, 1], data: [0] }]
    stage.server.answers.set('/v2/models/listener/infer', () => Response.json({ outputs }))
    expect(await refuse({ model: 'listener', files: [await stage.speech()] })).toBe(
      'config_invalid: Cannot carry output "next" to input "state": the model did not answer with it',
    )
  })
})
