import type { ProviderChoice } from './backend.ts'

/** In an option's value: the folder that holds what the provider has compiled of the model. */
const ENGINE_FOLDER = '{engine_cache}'

/** What makes providers keep what they compile, by ONNX Runtime's names for them. */
const ENGINE_OPTIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  TensorrtExecutionProvider: {
    trt_engine_cache_enable: '1',
    trt_engine_cache_path: ENGINE_FOLDER,
    trt_timing_cache_enable: '1',
    trt_timing_cache_path: ENGINE_FOLDER,
  },
  NvTensorRTRTXExecutionProvider: { nv_runtime_cache_path: ENGINE_FOLDER },
  OpenVINOExecutionProvider: { cache_dir: ENGINE_FOLDER },
}

/** With the options that make the provider keep its engines; those that are said already count. */
export function withEngineOptions(choice: ProviderChoice, fullName: string): ProviderChoice {
  return { ...choice, options: { ...ENGINE_OPTIONS[fullName], ...choice.options } }
}

/** Whether it would keep what it compiles, if it were given a folder. */
export function keepsEngines({ options }: ProviderChoice): boolean {
  return Object.values(options).some((value) => value.includes(ENGINE_FOLDER))
}

export function withEngineFolder(choice: ProviderChoice, folder: string): ProviderChoice {
  const options = Object.entries(choice.options)
  return {
    ...choice,
    options: Object.fromEntries(
      options.map(([key, value]) => [key, value.replaceAll(ENGINE_FOLDER, folder)]),
    ),
  }
}

/** Without a folder nothing is kept: no option is left that would have the provider write where it happens to be. */
export function withoutEngineFolder(choice: ProviderChoice, fullName: string): ProviderChoice {
  if (!keepsEngines(choice)) return choice
  const added = ENGINE_OPTIONS[fullName] ?? {}
  const options = Object.entries(choice.options).filter(
    ([key, value]) => !value.includes(ENGINE_FOLDER) && !Object.hasOwn(added, key),
  )
  return { ...choice, options: Object.fromEntries(options) }
}
