/**
 * The functions of `struct OrtApi` that Limpet calls: position in the struct, arguments, and what it returns.
 * The struct only ever grows at its end (onnxruntime_c_api.h, "ABI compatibility"), so a position holds for every
 * library whose API version is at least `since`. Without `returns` a function gives an `OrtStatus*`, null for success.
 */
type Argument = 'ptr' | 'usize' | 'i32' | 'i64'

interface OrtSymbol {
  readonly index: number
  readonly args: readonly Argument[]
  readonly returns?: 'i32' | 'void' | 'bool'
  /** The API version that brought it, where it is above `API_VERSION_MIN`. */
  readonly since?: number
}

/** ONNX Runtime 1.16: the oldest that JetPack 5 builds are found with, and the one that can fill strings by length. */
export const API_VERSION_MIN = 16

const release = (index: number): OrtSymbol => ({ index, args: ['ptr'], returns: 'void' })

export const ORT_SYMBOLS = {
  GetErrorCode: { index: 1, args: ['ptr'], returns: 'i32' },
  // Returns a char*; read as a pointer like a status.
  GetErrorMessage: { index: 2, args: ['ptr'] },
  CreateEnv: { index: 3, args: ['i32', 'ptr', 'ptr'] },
  CreateEnvWithCustomLogger: { index: 4, args: ['ptr', 'ptr', 'i32', 'ptr', 'ptr'] },
  DisableTelemetryEvents: { index: 6, args: ['ptr'] },
  CreateSession: { index: 7, args: ['ptr', 'ptr', 'ptr', 'ptr'] },
  CreateSessionFromArray: { index: 8, args: ['ptr', 'ptr', 'usize', 'ptr', 'ptr'] },
  Run: { index: 9, args: ['ptr', 'ptr', 'ptr', 'ptr', 'usize', 'ptr', 'usize', 'ptr'] },
  CreateSessionOptions: { index: 10, args: ['ptr'] },
  SetSessionExecutionMode: { index: 13, args: ['ptr', 'i32'] },
  EnableMemPattern: { index: 16, args: ['ptr'] },
  DisableMemPattern: { index: 17, args: ['ptr'] },
  EnableCpuMemArena: { index: 18, args: ['ptr'] },
  DisableCpuMemArena: { index: 19, args: ['ptr'] },
  SetSessionLogId: { index: 20, args: ['ptr', 'ptr'] },
  SetSessionLogSeverityLevel: { index: 22, args: ['ptr', 'i32'] },
  SetSessionGraphOptimizationLevel: { index: 23, args: ['ptr', 'i32'] },
  SetIntraOpNumThreads: { index: 24, args: ['ptr', 'i32'] },
  SetInterOpNumThreads: { index: 25, args: ['ptr', 'i32'] },
  SessionGetInputCount: { index: 30, args: ['ptr', 'ptr'] },
  SessionGetOutputCount: { index: 31, args: ['ptr', 'ptr'] },
  SessionGetOverridableInitializerCount: { index: 32, args: ['ptr', 'ptr'] },
  SessionGetInputTypeInfo: { index: 33, args: ['ptr', 'usize', 'ptr'] },
  SessionGetOutputTypeInfo: { index: 34, args: ['ptr', 'usize', 'ptr'] },
  SessionGetOverridableInitializerTypeInfo: { index: 35, args: ['ptr', 'usize', 'ptr'] },
  SessionGetInputName: { index: 36, args: ['ptr', 'usize', 'ptr', 'ptr'] },
  SessionGetOutputName: { index: 37, args: ['ptr', 'usize', 'ptr', 'ptr'] },
  SessionGetOverridableInitializerName: { index: 38, args: ['ptr', 'usize', 'ptr', 'ptr'] },
  CreateRunOptions: { index: 39, args: ['ptr'] },
  RunOptionsSetTerminate: { index: 46, args: ['ptr'] },
  RunOptionsUnsetTerminate: { index: 47, args: ['ptr'] },
  CreateTensorAsOrtValue: { index: 48, args: ['ptr', 'ptr', 'usize', 'i32', 'ptr'] },
  CreateTensorWithDataAsOrtValue: { index: 49, args: ['ptr', 'ptr', 'usize', 'ptr', 'usize', 'i32', 'ptr'] },
  GetTensorMutableData: { index: 51, args: ['ptr', 'ptr'] },
  GetStringTensorDataLength: { index: 53, args: ['ptr', 'ptr'] },
  GetStringTensorContent: { index: 54, args: ['ptr', 'ptr', 'usize', 'ptr', 'usize'] },
  CastTypeInfoToTensorInfo: { index: 55, args: ['ptr', 'ptr'] },
  GetOnnxTypeFromTypeInfo: { index: 56, args: ['ptr', 'ptr'] },
  GetTensorElementType: { index: 60, args: ['ptr', 'ptr'] },
  GetDimensionsCount: { index: 61, args: ['ptr', 'ptr'] },
  GetDimensions: { index: 62, args: ['ptr', 'ptr', 'usize'] },
  GetSymbolicDimensions: { index: 63, args: ['ptr', 'ptr', 'usize'] },
  GetTensorTypeAndShape: { index: 65, args: ['ptr', 'ptr'] },
  GetValueType: { index: 67, args: ['ptr', 'ptr'] },
  CreateCpuMemoryInfo: { index: 69, args: ['i32', 'i32', 'ptr'] },
  AllocatorFree: { index: 76, args: ['ptr', 'ptr'] },
  GetAllocatorWithDefaultOptions: { index: 78, args: ['ptr'] },
  ReleaseStatus: release(93),
  ReleaseSession: release(95),
  ReleaseValue: release(96),
  ReleaseRunOptions: release(97),
  ReleaseTypeInfo: release(98),
  ReleaseTensorTypeAndShapeInfo: release(99),
  ReleaseSessionOptions: release(100),
  SessionGetModelMetadata: { index: 111, args: ['ptr', 'ptr'] },
  ModelMetadataGetProducerName: { index: 112, args: ['ptr', 'ptr', 'ptr'] },
  ModelMetadataGetGraphName: { index: 113, args: ['ptr', 'ptr', 'ptr'] },
  ModelMetadataGetDomain: { index: 114, args: ['ptr', 'ptr', 'ptr'] },
  ModelMetadataGetDescription: { index: 115, args: ['ptr', 'ptr', 'ptr'] },
  ModelMetadataLookupCustomMetadataMap: { index: 116, args: ['ptr', 'ptr', 'ptr', 'ptr'] },
  ModelMetadataGetVersion: { index: 117, args: ['ptr', 'ptr'] },
  ReleaseModelMetadata: release(118),
  ModelMetadataGetCustomMetadataMapKeys: { index: 123, args: ['ptr', 'ptr', 'ptr', 'ptr'] },
  AddFreeDimensionOverrideByName: { index: 124, args: ['ptr', 'ptr', 'i64'] },
  GetAvailableProviders: { index: 125, args: ['ptr', 'ptr'] },
  ReleaseAvailableProviders: { index: 126, args: ['ptr', 'i32'] },
  AddSessionConfigEntry: { index: 130, args: ['ptr', 'ptr', 'ptr'] },
  CreateAllocator: { index: 131, args: ['ptr', 'ptr', 'ptr'] },
  ReleaseAllocator: release(132),
  SessionOptionsAppendExecutionProvider_TensorRT_V2: { index: 170, args: ['ptr', 'ptr'] },
  CreateTensorRTProviderOptions: { index: 171, args: ['ptr'] },
  UpdateTensorRTProviderOptions: { index: 172, args: ['ptr', 'ptr', 'ptr', 'usize'] },
  ReleaseTensorRTProviderOptions: release(174),
  SessionOptionsAppendExecutionProvider_CUDA_V2: { index: 204, args: ['ptr', 'ptr'] },
  CreateCUDAProviderOptions: { index: 205, args: ['ptr'] },
  UpdateCUDAProviderOptions: { index: 206, args: ['ptr', 'ptr', 'ptr', 'usize'] },
  ReleaseCUDAProviderOptions: release(208),
  SessionOptionsAppendExecutionProvider: { index: 216, args: ['ptr', 'ptr', 'ptr', 'ptr', 'usize'] },
  CastTypeInfoToOptionalTypeInfo: { index: 250, args: ['ptr', 'ptr'] },
  GetOptionalContainedTypeInfo: { index: 251, args: ['ptr', 'ptr'] },
  GetResizedStringTensorElementBuffer: { index: 252, args: ['ptr', 'usize', 'usize', 'ptr'] },
  // These return a char* or another pointer; read as a pointer like a status.
  GetKeyValue: { index: 297, args: ['ptr', 'ptr'], since: 23 },
  ReleaseKeyValuePairs: { ...release(300), since: 23 },
  RegisterExecutionProviderLibrary: { index: 301, args: ['ptr', 'ptr', 'ptr'], since: 22 },
  GetEpDevices: { index: 303, args: ['ptr', 'ptr', 'ptr'], since: 22 },
  SessionOptionsAppendExecutionProvider_V2: {
    index: 304,
    args: ['ptr', 'ptr', 'ptr', 'usize', 'ptr', 'ptr', 'usize'],
    since: 22,
  },
  HardwareDevice_Type: { index: 307, args: ['ptr'], returns: 'i32', since: 22 },
  HardwareDevice_Vendor: { index: 309, args: ['ptr'], since: 22 },
  HardwareDevice_DeviceId: { index: 310, args: ['ptr'], returns: 'i32', since: 22 },
  EpDevice_EpName: { index: 312, args: ['ptr'], since: 22 },
  EpDevice_EpVendor: { index: 313, args: ['ptr'], since: 22 },
  EpDevice_EpMetadata: { index: 314, args: ['ptr'], since: 22 },
  EpDevice_Device: { index: 316, args: ['ptr'], since: 22 },
  AllocatorGetStats: { index: 319, args: ['ptr', 'ptr'], since: 23 },
  TensorTypeAndShape_HasShape: { index: 390, args: ['ptr'], returns: 'bool', since: 24 },
  Session_GetEpGraphAssignmentInfo: { index: 407, args: ['ptr', 'ptr', 'ptr'], since: 24 },
  EpAssignedSubgraph_GetEpName: { index: 408, args: ['ptr', 'ptr'], since: 24 },
  EpAssignedSubgraph_GetNodes: { index: 409, args: ['ptr', 'ptr', 'ptr'], since: 24 },
  EpAssignedNode_GetOperatorType: { index: 412, args: ['ptr', 'ptr'], since: 24 },
  GetTensorElementTypeAndShapeDataReference: { index: 414, args: ['ptr', 'ptr', 'ptr', 'ptr'], since: 24 },
} as const satisfies Record<string, OrtSymbol>

export type OrtSymbolName = keyof typeof ORT_SYMBOLS
