import { readFile } from 'node:fs/promises'
import type { RestrictionSettings } from '../config/http-settings.ts'
import type { Restriction } from '../http/restrictions.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'

/** The restrictions with the values from their files. */
export async function readRestrictions(
  restricted: readonly RestrictionSettings[],
): Promise<readonly Restriction[]> {
  return await Promise.all(
    restricted.map(async ({ apis, header, value, value_file: path = '' }) => {
      return { apis, header, value: value ?? (await readValue(header, path)) }
    }),
  )
}

/** An empty value would let everybody pass who leaves the header out. */
async function readValue(header: string, path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new EdgeError(
      'config_invalid',
      `Cannot read the value of header "${header}" from "${path}": ${messageOf(cause)}`,
      { cause },
    )
  })
  const value = text.trim()
  if (value !== '') return value
  throw new EdgeError('config_invalid', `Cannot restrict by header "${header}": "${path}" is empty`)
}
