import { prettifyError, z } from 'zod'
import { EdgeError } from '../kit/errors.ts'

/**
 * What a person may ask of a device from afar. None of it changes what runs: that is said by signed assignments. A message
 * says no more than the registry's own key holders may, and each has an end after which it is not done any more.
 */

export const COMMAND_SECONDS_MAX = 600
/** Of a result that goes along with the event; what is more goes by HTTP. */
export const RESULT_BYTES_MAX = 64 * 1024
export const UPLOAD_BYTES_MAX = 32 * 1024 ** 2

const COUNTER_MAX = 2 ** 48

export const CommandId = z.string().regex(/^[0-9a-f]{32}$/)

/** As it comes: the operation may be one of a newer registry. */
export const Command = z.looseObject({
  rid: CommandId,
  op: z.string().regex(/^[a-z][a-z0-9_]{0,63}$/),
  /** Milliseconds since 1970 by the registry's clock. */
  exp: z.int().min(0).max(COUNTER_MAX),
})
export type Command = z.infer<typeof Command>

/** Each operation with what goes with it. */
export const Order = z.discriminatedUnion('op', [
  /** Makes itself known to somebody who stands before many boxes. */
  z.strictObject({ op: z.literal('identify'), seconds: z.int().min(1).max(60).default(10) }),
  z.strictObject({
    op: z.literal('logs'),
    lines: z.int().min(1).max(2000).default(200),
    process: z.enum(['up', 'serve', 'agent']).optional(),
  }),
  z.strictObject({ op: z.literal('restart_serve') }),
  /** Says anew what it is like. */
  z.strictObject({ op: z.literal('rebirth') }),
  z.strictObject({ op: z.literal('diagnostics') }),
  /** Keeps requests of a model with their answers for a while, and brings what was kept. */
  z.strictObject({
    op: z.literal('capture'),
    model: z.string().min(1).max(256),
    action: z.enum(['start', 'stop', 'status', 'upload']),
    percent: z.number().min(0).max(100).default(1),
    on_failure: z.boolean().default(true),
    seconds: z.int().min(1).max(86_400).default(600),
  }),
])
export type Order = z.infer<typeof Order>
export type OrderOf<Op extends Order['op']> = Extract<Order, { op: Op }>

const OPERATIONS: readonly string[] = Order.options.map((option) => option.shape.op.value)

/** Refuses in words what is no order: an operation that is not known is named, with those that are. */
export function parseOrder(given: Readonly<Record<string, unknown>>): Order {
  if (!OPERATIONS.includes(String(given['op']))) {
    throw new EdgeError(
      'unsupported',
      `Cannot do "${String(given['op']).slice(0, 64)}": expected one of ${OPERATIONS.join(', ')}`,
    )
  }
  const parsed = Order.safeParse(given)
  if (parsed.success) return parsed.data
  throw new EdgeError(
    'input_invalid',
    `Cannot do "${String(given['op'])}": ${prettifyError(parsed.error).replaceAll('\n', ' ')}`,
  )
}

/** How it ended, as the device tells it in an event. */
export const CommandOutcome = z.looseObject({
  kind: z.literal('command'),
  rid: CommandId,
  op: z.string().max(64),
  state: z.enum(['done', 'failed', 'expired']),
  code: z.string().max(64),
  reason: z.string().max(4096),
  result: z.unknown(),
})
export type CommandOutcome = z.infer<typeof CommandOutcome>
