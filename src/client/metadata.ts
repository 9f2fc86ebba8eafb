import { z } from 'zod'
import { ClientHints } from '../config/client-hints.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'
import { parseExactJson } from '../kit/exact-json.ts'
import { Datatype } from './datatypes.ts'
import { refusalOf } from './refusal.ts'
import { explainUnknownModel } from './repository.ts'
import { callServer, type Server } from './server.ts'
import { quote } from './text.ts'

const Spec = z.object({
  name: z.string(),
  datatype: Datatype,
  shape: z.array(z.int().min(-1)).max(32),
})

/** What a server says of a model. Keys that Limpet does not know are left out, as other servers have some. */
const Metadata = z.object({
  name: z.string(),
  inputs: z.array(Spec).max(1000),
  outputs: z.array(Spec).max(1000),
  properties: z.object({ client: ClientHints.optional() }).optional(),
})

export type Metadata = z.infer<typeof Metadata>

/** One model, and one version of it if a person asked for one. */
export interface Target {
  readonly model: string
  readonly version?: string | undefined
}

export function pathOf({ model, version }: Target): string {
  const path = `/v2/models/${encodeURIComponent(model)}`
  return version === undefined ? path : `${path}/versions/${encodeURIComponent(version)}`
}

export async function fetchMetadata(server: Server, target: Target): Promise<Metadata> {
  const reply = await callServer(server, { method: 'GET', path: pathOf(target) })
  if (reply.status === 200) return parseMetadata(server, reply.body)
  // Limpet answers 404 for an unknown model, Triton 400.
  const isAboutTheModel = reply.status === 404 || reply.status === 400
  const unknown = isAboutTheModel ? await explainUnknownModel(server, target.model) : undefined
  throw unknown ?? refusalOf(server, `ask about model ${quote(target.model)}`, reply)
}

function parseMetadata({ url }: Server, body: Uint8Array): Metadata {
  const attempt = `Cannot read what ${url} says of the model`
  let answer: unknown
  try {
    answer = parseExactJson(new TextDecoder().decode(body))
  } catch (cause) {
    throw notMetadata(
      `${attempt}: ${messageOf(cause)}; is it a server of the Open Inference Protocol?`,
      cause,
    )
  }
  const parsed = Metadata.safeParse(answer)
  if (parsed.success) return parsed.data
  throw notMetadata(`${attempt}: ${messageOf(z.prettifyError(parsed.error))}`, parsed.error)
}

function notMetadata(message: string, cause: unknown): EdgeError {
  return new EdgeError('peer_failed', message, { cause })
}
