/** Before anything loads ONNX Runtime: onnxruntime-node would report to its makers from whoever runs these tests. */
import { silenceTelemetry } from '../../src/runtime/telemetry.ts'

silenceTelemetry()
