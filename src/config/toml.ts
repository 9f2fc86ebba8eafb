import { parse, TomlError } from 'smol-toml'
import type { z } from 'zod'
import { prettifyError } from 'zod'
import { EdgeError } from '../kit/errors.ts'

/** Reads TOML against a schema. Says everything that is wrong at once: the person fixing it may be on a ladder. */
export function parseToml<Schema extends z.ZodType>(
  schema: Schema,
  file: { readonly path: string; readonly text: string },
): z.infer<Schema> {
  const parsed = schema.safeParse(parseText(file))
  if (parsed.success) return parsed.data
  throw new EdgeError('config_invalid', `Cannot use "${file.path}": ${prettifyError(parsed.error)}`)
}

function parseText({ path, text }: { path: string; text: string }): unknown {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = error.message.split('\n')[0] ?? ''
    throw new EdgeError(
      'config_invalid',
      `Cannot read "${path}" line ${error.line} column ${error.column}: ${what}`,
      {
        cause: error,
      },
    )
  }
}
