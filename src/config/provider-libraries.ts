import { z } from 'zod'

/** Plug-in execution providers: libraries of their own, by their path. */
export const ProviderLibraries = z
  .array(
    z.strictObject({
      /** What models, the config and profiles call it in `providers`; counts before a provider of that name in ONNX Runtime. */
      name: z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/)
        .refine(
          (name) => !/^cpu(ExecutionProvider)?$/i.test(name),
          'is the processor, which needs no library',
        ),
      path: z.string().startsWith('/'),
      /** Of several providers in the library this one, by ONNX Runtime's name for it. */
      provider: z.string().min(1).optional(),
      /** Of several kinds of devices this one; without it a GPU before an NPU before a processor. */
      device: z.enum(['cpu', 'gpu', 'npu']).optional(),
      device_index: z.int().min(0).max(63).default(0),
    }),
  )
  .max(16)

export type ProviderLibraries = Readonly<z.infer<typeof ProviderLibraries>>

/** For a config, which says of each name once where it is. */
export const NamedLibraries = ProviderLibraries.check(({ value, issues }) => {
  const names = value.map(({ name }) => name)
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) === index) continue
    const message = `"${name}" is taken by another library of this list`
    issues.push({ code: 'custom', path: [index, 'name'], message, input: value })
  }
})
