import { EdgeError } from '../kit/errors.ts'
import { decodeValues } from './datatypes.ts'
import { pathOf, type Target } from './metadata.ts'
import type { Carried, Plan } from './plan.ts'
import { refusalOf } from './refusal.ts'
import { callServer, type Server } from './server.ts'
import { createTensor, type Tensor } from './tensor.ts'
import { quote } from './text.ts'
import { type Answer, decodeAnswer, encodeRequest, HEADER_LENGTH } from './wire.ts'

export interface Exchange {
  readonly answer: Answer
  readonly tookMs: number
}

interface Message {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array<ArrayBuffer> | string
}

/** One request after the other: the next may need what the last one answered. */
export async function* runPlan(server: Server, target: Target, plan: Plan): AsyncGenerator<Exchange> {
  if (plan.kind === 'request') {
    yield await exchange(server, target, { headers: { 'Content-Type': 'application/json' }, body: plan.text })
    return
  }
  let carried = plan.carried.map(({ first }) => first)
  for (const step of plan.steps) {
    const inputs = [...plan.constants, ...step, ...carried]
    const done = await exchange(server, target, writeMessage(inputs))
    yield done
    carried = plan.carried.map((part) => carryOver(part, done.answer))
  }
}

function writeMessage(inputs: readonly Tensor[]): Message {
  const { headerBytes, body } = encodeRequest(inputs)
  const headers = { 'Content-Type': 'application/octet-stream', [HEADER_LENGTH]: String(headerBytes) }
  return { headers, body }
}

async function exchange(server: Server, target: Target, message: Message): Promise<Exchange> {
  const reply = await callServer(server, { method: 'POST', path: `${pathOf(target)}/infer`, ...message })
  if (reply.status !== 200) throw refusalOf(server, `run model ${quote(target.model)}`, reply)
  return { answer: decodeAnswer(reply.body, reply.headers.get(HEADER_LENGTH)), tookMs: reply.tookMs }
}

/** The output in the place of the input, in the input's datatype. */
function carryOver({ input, output }: Carried, answer: Answer): Tensor {
  const tensor = answer.outputs.find(({ name }) => name === output)
  if (tensor === undefined) {
    throw new EdgeError(
      'config_invalid',
      `Cannot carry output ${quote(output)} to input ${quote(input.name)}: the model did not answer with it`,
    )
  }
  if (tensor.datatype === input.datatype) return { ...tensor, name: input.name }
  return createTensor(input, tensor.shape, decodeValues(tensor.datatype, tensor.bytes))
}
