import { EdgeError, messageOf } from '../kit/errors.ts'
import { parseExactJson } from '../kit/exact-json.ts'
import { readSource, type SourceFile } from './source-file.ts'
import { quote } from './text.ts'

/** What an input is to be made of. */
export type Given =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'image' | 'audio'; readonly file: SourceFile }

/** A `.json` file: inputs by name, or a request that goes to the server as it is. */
export type JsonFile =
  | { readonly kind: 'request'; readonly text: string }
  | { readonly kind: 'inputs'; readonly inputs: ReadonlyMap<string, Given> }

type OpenStdin = () => ReadableStream<Uint8Array>

/** The `--input NAME=FILE|JSON` options. What reads as JSON is JSON; a file of that name is `./1`. */
export async function readInputOptions(
  options: readonly string[],
  stdin: OpenStdin,
): Promise<Map<string, Given>> {
  const given = new Map<string, Given>()
  for (const option of options) {
    const equals = option.indexOf('=')
    if (equals < 1) {
      throw new EdgeError(
        'input_invalid',
        `Cannot use --input ${quote(option)}: it is not NAME=FILE or NAME=JSON`,
      )
    }
    const name = option.slice(0, equals)
    if (given.has(name)) throw new EdgeError('input_invalid', `Cannot use --input ${quote(name)} twice`)
    given.set(name, await readFileOrJson(option.slice(equals + 1), stdin))
  }
  return given
}

async function readFileOrJson(text: string, stdin: OpenStdin): Promise<Given> {
  try {
    return { kind: 'value', value: parseExactJson(text) }
  } catch (cause) {
    if (text.startsWith('[')) throw notJson(text, cause)
  }
  const file = await readSource(text, stdin)
  return file.kind === 'json' ? { kind: 'value', value: parseFile(file) } : { kind: file.kind, file }
}

export function readJsonFile(file: SourceFile): JsonFile {
  const content = parseFile(file)
  if (content === null || typeof content !== 'object' || Array.isArray(content)) {
    throw new EdgeError(
      'input_invalid',
      `Cannot use ${quote(file.name)}: it is not an object; wanted {"INPUT": [numbers], …} or a whole request ` +
        '{"inputs": [{"name", "shape", "datatype", "data"}, …]}',
    )
  }
  // The text goes on, not what was understood of it: the server may know more.
  if (isRequest(content)) return { kind: 'request', text: decodeText(file) }
  const values = Object.entries(content).map(([name, value]) => [name, { kind: 'value', value }] as const)
  return { kind: 'inputs', inputs: new Map(values) }
}

/** A model may well have an input called "inputs"; its elements have no names. */
function isRequest(content: object): boolean {
  if (!('inputs' in content) || !Array.isArray(content.inputs)) return false
  const [first] = content.inputs as unknown[]
  return first !== null && typeof first === 'object' && 'name' in first
}

function parseFile(file: SourceFile): unknown {
  try {
    return parseExactJson(decodeText(file))
  } catch (cause) {
    throw notJson(file.name, cause)
  }
}

function decodeText({ bytes }: SourceFile): string {
  return new TextDecoder().decode(bytes)
}

function notJson(name: string, cause: unknown): EdgeError {
  return new EdgeError('input_invalid', `Cannot read ${quote(name)} as JSON: ${messageOf(cause)}`, { cause })
}
