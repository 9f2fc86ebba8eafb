import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { prettifyError, z } from 'zod'
import { makeFolderDurably, writeDurably } from '../../kit/durable-file.ts'
import { EdgeError, messageOf } from '../../kit/errors.ts'

/** Who this device is to its registry. Holds its secret: only its owner may read the file. */
const Enrolment = z.object({
  format: z.literal(1),
  /** Where the registry's HTTP API is. */
  registry: z.url({ protocol: /^https?$/ }),
  device: z.string().min(1).max(128),
  secret: z.string().min(1).max(512),
  mqtt_url: z.string().min(1).max(512),
  /** The TUF root that trust begins with. */
  root: z.unknown(),
})

export type Enrolment = Readonly<z.infer<typeof Enrolment>>

const OWNER_ONLY = 0o600

export function enrolmentPath(state: string): string {
  return join(state, 'enrolment.json')
}

/** Also where the file cannot be read any more: what the device serves is what it was given, whoever it was. */
export async function isEnrolled(state: string): Promise<boolean> {
  return await stat(enrolmentPath(state)).then(
    () => true,
    () => false,
  )
}

/** Undefined where the device is not enrolled. */
export async function readEnrolment(state: string): Promise<Enrolment | undefined> {
  const path = enrolmentPath(state)
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined
    throw new EdgeError('config_invalid', `Cannot read the enrolment "${path}": ${messageOf(cause)}`, {
      cause,
    })
  })
  if (text === undefined) return undefined
  const parsed = Enrolment.safeParse(parseJson(text))
  if (parsed.success) return parsed.data
  throw new EdgeError(
    'config_invalid',
    `Cannot use the enrolment "${path}": ${prettifyError(parsed.error).replaceAll('\n', ' ')}; enrol again`,
  )
}

export async function writeEnrolment(state: string, enrolment: Enrolment): Promise<void> {
  await makeFolderDurably(state)
  await writeDurably(enrolmentPath(state), Buffer.from(JSON.stringify(enrolment, undefined, 2)), OWNER_ONLY)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
