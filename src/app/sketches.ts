import type { Sketches, TensorSketch } from '../capture/sketches.ts'
import { type Family, histogramSamples } from '../kit/metrics-text.ts'

/** For each tensor of a version that is looked at; how many there can be is bounded where they are kept. */
export function sketchFamilies(sketches: Sketches): Family[] {
  const tensors = sketches.snapshot
  const perTensor = (value: (of: TensorSketch) => number | undefined) =>
    tensors.flatMap((of) => {
      const found = value(of)
      return found === undefined ? [] : [{ labels: labelsOf(of), value: found }]
    })
  return [
    {
      name: 'limpet_tensor_requests_total',
      help: 'Requests whose tensors were looked at',
      type: 'counter',
      samples: sketches.requests.map(({ requests, ...labels }) => ({ labels, value: requests })),
    },
    {
      name: 'limpet_tensor_values',
      help: 'Finite numbers in the inputs and outputs of the requests that were looked at, 1024 of a tensor at most',
      type: 'histogram',
      samples: tensors.flatMap((of) => histogramSamples(labelsOf(of), of.values)),
    },
    {
      name: 'limpet_tensor_squares_total',
      help: 'The sum of the squares of those numbers: with sum and count the variance between two times',
      type: 'counter',
      samples: perTensor(({ squares }) => squares),
    },
    {
      name: 'limpet_tensor_nan_total',
      help: 'NaN among them',
      type: 'counter',
      samples: perTensor(({ nan }) => nan),
    },
    {
      name: 'limpet_tensor_infinite_total',
      help: 'Infinite ones among them',
      type: 'counter',
      samples: perTensor(({ infinite }) => infinite),
    },
    ...GAUGES.map(([name, help]): Family => {
      return {
        name: `limpet_tensor_${name}`,
        help: `${help} of those numbers since the version was first asked`,
        type: 'gauge',
        samples: perTensor((of) => of[name]),
      }
    }),
  ]
}

const GAUGES = [
  ['min', 'The least'],
  ['max', 'The greatest'],
  ['mean', 'The mean'],
  ['variance', 'The variance'],
] as const

function labelsOf({ model, version, direction, tensor }: TensorSketch): Record<string, string> {
  return { model, version, direction, tensor }
}
