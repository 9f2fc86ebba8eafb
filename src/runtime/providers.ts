import { EdgeError } from '../kit/errors.ts'
import type { ProviderChoice } from './backend.ts'
import { type Address, type Scope, scoped } from './memory.ts'
import type { Ort } from './ort.ts'
import { appendLibrary } from './provider-library.ts'

/** Short names, as configs say them, and ONNX Runtime's own. */
const PROVIDERS: Readonly<Record<string, string>> = {
  cpu: 'CPUExecutionProvider',
  cuda: 'CUDAExecutionProvider',
  tensorrt: 'TensorrtExecutionProvider',
  openvino: 'OpenVINOExecutionProvider',
  webgpu: 'WebGpuExecutionProvider',
  xnnpack: 'XnnpackExecutionProvider',
}

/** Some that a library is built with are files of their own, looked for beside it. */
export const PROVIDER_LIBRARIES: Readonly<Record<string, string>> = {
  cuda: 'libonnxruntime_providers_cuda.so',
  tensorrt: 'libonnxruntime_providers_tensorrt.so',
  openvino: 'libonnxruntime_providers_openvino.so',
}

/** Where the function that adds a provider by its name knows it by another one, in old versions by that one only. */
const APPENDED_AS: Readonly<Record<string, string>> = {
  WebGpuExecutionProvider: 'WebGPU',
  XnnpackExecutionProvider: 'XNNPACK',
}

export const PROVIDER_NAMES = Object.keys(PROVIDERS)

export function providerFullName(name: string): string {
  return PROVIDERS[name] ?? name
}

export function isCpu(name: string): boolean {
  return providerFullName(name) === PROVIDERS['cpu']
}

/** What ONNX Runtime calls it, once it is there. */
export function shownName({ libraries }: Ort, name: string): string {
  const library = libraries.find((one) => one.name === name)
  return library === undefined || 'problem' in library ? providerFullName(name) : library.chosen.provider
}

/** Adds a provider to session options. ONNX Runtime tries them in the order in which they are added. */
export function appendProvider(ort: Ort, sessionOptions: Address, choice: ProviderChoice): void {
  const library = ort.libraries.find(({ name }) => name === choice.name)
  if (library !== undefined) {
    appendLibrary(ort, sessionOptions, library, (scope) => optionArrays(scope, choice))
    return
  }
  const fullName = providerFullName(choice.name)
  if (!ort.providers.includes(fullName)) {
    throw new EdgeError(
      'library_unusable',
      `Cannot use provider "${choice.name}": ${ort.libraryPath} (ONNX Runtime ${ort.version}) was built with ` +
        `${ort.providers.join(', ')}; others come by runtime.provider_libraries`,
    )
  }
  // Always there, and always last: adding it would be refused.
  if (isCpu(fullName)) return
  if (fullName === PROVIDERS['cuda']) appendCuda(ort, sessionOptions, choice)
  else if (fullName === PROVIDERS['tensorrt']) appendTensorrt(ort, sessionOptions, choice)
  else
    appendByName(ort, sessionOptions, {
      ...choice,
      name: APPENDED_AS[fullName] ?? fullName.replace('ExecutionProvider', ''),
    })
}

function appendCuda(ort: Ort, sessionOptions: Address, choice: ProviderChoice): void {
  const { functions } = ort
  const options = ort.out((out) => functions.CreateCUDAProviderOptions(out))
  try {
    scoped((scope) => ort.check(functions.UpdateCUDAProviderOptions(options, ...optionArrays(scope, choice))))
    ort.check(functions.SessionOptionsAppendExecutionProvider_CUDA_V2(sessionOptions, options))
  } finally {
    functions.ReleaseCUDAProviderOptions(options)
  }
}

function appendTensorrt(ort: Ort, sessionOptions: Address, choice: ProviderChoice): void {
  const { functions } = ort
  const options = ort.out((out) => functions.CreateTensorRTProviderOptions(out))
  try {
    scoped((scope) =>
      ort.check(functions.UpdateTensorRTProviderOptions(options, ...optionArrays(scope, choice))),
    )
    ort.check(functions.SessionOptionsAppendExecutionProvider_TensorRT_V2(sessionOptions, options))
  } finally {
    functions.ReleaseTensorRTProviderOptions(options)
  }
}

function appendByName(ort: Ort, sessionOptions: Address, choice: ProviderChoice): void {
  scoped((scope) => {
    const arrays = optionArrays(scope, choice)
    const { SessionOptionsAppendExecutionProvider: append } = ort.functions
    ort.check(append(sessionOptions, scope.string(choice.name), ...arrays))
  })
}

/** Keys, values and their count, as ONNX Runtime's option functions want them. */
function optionArrays(
  scope: Scope,
  { options }: ProviderChoice,
): [keys: Address, values: Address, count: number] {
  return [
    scope.strings(Object.keys(options)),
    scope.strings(Object.values(options)),
    Object.keys(options).length,
  ]
}
