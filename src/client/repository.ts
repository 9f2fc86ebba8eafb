import { z } from 'zod'
import { EdgeError } from '../kit/errors.ts'
import { parseExactJson } from '../kit/exact-json.ts'
import { callServer, type Server } from './server.ts'
import { quote, quoteSome } from './text.ts'

const NAMES_SHOWN_MAX = 20

const Index = z.array(z.object({ name: z.string() })).max(100_000)

/** The error for a model that the server does not list; `undefined` if it does list it, or lists nothing at all. */
export async function explainUnknownModel(server: Server, model: string): Promise<EdgeError | undefined> {
  const names = await listModels(server)
  if (names === undefined || names.includes(model)) return undefined
  const choice = names.length === 0 ? 'it has none' : `it has ${quoteSome(names, NAMES_SHOWN_MAX)}`
  return new EdgeError('model_unknown', `Cannot find model ${quote(model)} on ${server.url}: ${choice}`)
}

/** Only ever asked to make another error clearer, so that its own failure is not one. */
async function listModels(server: Server): Promise<string[] | undefined> {
  try {
    const reply = await callServer(server, { method: 'POST', path: '/v2/repository/index' })
    const index = Index.parse(parseExactJson(new TextDecoder().decode(reply.body)))
    return [...new Set(index.map(({ name }) => name))].sort()
  } catch {
    return undefined
  }
}
