import { z } from 'zod'

/** A token of RFC 9110, 5.6.2: what a header may be called. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** Routes that answer only to requests with a header. */
const Restriction = z
  .strictObject({
    apis: z
      .array(
        z.enum([
          'health',
          'metadata',
          'inference',
          'shared-memory',
          'model-config',
          'model-repository',
          'statistics',
          'trace',
          'logging',
          'metrics',
        ]),
      )
      .min(1),
    header: z.string().max(128).regex(HEADER_NAME),
    /** What the header has to say. */
    value: z.string().min(1).max(4096).optional(),
    /** A file that holds it, so that the config need not be secret; white space around it does not count. */
    value_file: z.string().min(1).optional(),
  })
  .refine(({ value, value_file }) => (value === undefined) !== (value_file === undefined), {
    message: 'expected either value or value_file',
  })

export type RestrictionSettings = Readonly<z.infer<typeof Restriction>>

/** How the device answers HTTP. */
export const HttpSettings = z.strictObject({
  host: z.string().min(1).default('127.0.0.1'),
  /** 0 lets the system choose a free one. */
  port: z.int().min(0).max(65_535).default(8000),
  /** A socket in the file system to answer on as well, for who is on the device and may write to it. */
  unix_socket: z.string().min(1).max(107).optional(),
  /** What stands before every path, like "/limpet", where a proxy passes requests on as they came. */
  base_path: z
    .string()
    .max(256)
    .regex(/^(\/[A-Za-z0-9._~-]+)*$/)
    .default(''),
  /** After decompression. Triton's default. */
  body_bytes_max: z
    .int()
    .min(1024)
    .max(2 ** 31 - 1)
    .default(64 * 1024 ** 2),
  /** How the server names itself; some of Triton's example clients insist on "triton". */
  server_name: z.string().min(1).max(64).default('limpet'),
  /** Clients on the device may pass tensors in memory they share; off, since one that shrinks it stops the server. */
  shared_memory: z.boolean().default(false),
  /** Where traces go that a client asks for; without it "trace.json" in the state folder. */
  trace_file: z.string().min(1).optional(),
  restricted: z
    .array(Restriction)
    .default([])
    .check((context) => {
      const apis = context.value.flatMap((restriction) => restriction.apis)
      const twice = apis.filter((api, index) => apis.indexOf(api) !== index)
      if (twice.length === 0) return
      const message = `${twice.join(', ')} stands in two entries, expected one`
      context.issues.push({ code: 'custom', message, input: context.value })
    }),
})
