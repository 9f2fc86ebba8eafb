import { z } from 'zod'

/**
 * How a person's file becomes a model's tensors and how its outputs read: the `[client]` table of a model's
 * `config.toml`. The data plane only passes it on, in the model's metadata under `properties.client`;
 * `limpet infer` acts on it.
 */
const PerChannel = z.array(z.number()).min(1).max(4)

const ImageHint = z.strictObject({
  from: z.literal('image'),
  /** Pixels. Without them the image keeps its size, rounded to `multiple_of`. */
  width: z.int().min(1).max(8192).optional(),
  height: z.int().min(1).max(8192).optional(),
  /** `stretch` to width x height, or keep the aspect ratio and fill up with zeros to the right and below. */
  fit: z.enum(['stretch', 'pad']).default('stretch'),
  /** A larger image is first reduced so that its longer side has this many pixels. */
  longest_side_max: z.int().min(16).max(8192).default(960),
  multiple_of: z.int().min(1).max(256).default(1),
  channels: z.enum(['rgb', 'bgr', 'gray']).default('rgb'),
  layout: z.enum(['nchw', 'nhwc']).default('nchw'),
  /** value = (pixel / 255 - mean) / std, per channel in the order of `channels`. */
  mean: PerChannel.default([0, 0, 0]),
  std: PerChannel.default([1, 1, 1]),
})

const AudioHint = z.strictObject({
  from: z.literal('audio'),
  sample_rate_hz: z.int().min(1000).max(192_000),
  /** New samples in each request; the recording is sent as a sequence of such windows. */
  window_samples: z.int().min(1).max(1_000_000),
  /** Samples of the window before, put in front of each window. */
  context_samples: z.int().min(0).max(1_000_000).default(0),
})

const ValueHint = z.strictObject({ from: z.literal('value'), value: z.array(z.number()).min(1).max(4096) })

/** Takes an output of the window before; zeros of `shape` in the first. */
const OutputHint = z.strictObject({
  from: z.literal('output'),
  output: z.string().min(1),
  shape: z.array(z.int().min(1)).max(8),
})

const InputHint = z.discriminatedUnion('from', [ImageHint, AudioHint, ValueHint, OutputHint])

const ReadingHint = z.discriminatedUnion('as', [
  /** Scores, one for each label. */
  z.strictObject({ as: z.literal('classes'), labels: z.array(z.string()).min(1).max(100_000) }),
  /** One probability a window; stretches above the threshold are printed with their times in seconds. */
  z.strictObject({
    as: z.literal('segments'),
    label: z.string(),
    threshold: z.number().min(0).max(1).default(0.5),
  }),
  /** A map of probabilities over the image; connected areas above the threshold are printed as boxes in pixels. */
  z.strictObject({
    as: z.literal('boxes'),
    label: z.string(),
    threshold: z.number().min(0).max(1).default(0.3),
  }),
])

export const ClientHints = z.strictObject({
  inputs: z.record(z.string(), InputHint),
  outputs: z.record(z.string(), ReadingHint),
})

export type ClientHints = z.infer<typeof ClientHints>
export type ImageHint = z.infer<typeof ImageHint>
export type AudioHint = z.infer<typeof AudioHint>
