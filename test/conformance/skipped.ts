/**
 * What ONNX's test models are not held to, and why. The test expects exactly these: one that begins to pass fails it,
 * so that it leaves the list.
 */

interface Refused {
  readonly why: string
  /** Stands in the reason that the server's index gives. */
  readonly words: RegExp
  readonly models: readonly string[]
}

/** Not served: the index says UNAVAILABLE, with the words of whoever refuses. */
export const REFUSED: readonly Refused[] = [
  {
    why: 'The only output is a sequence, or an optional one: there would be nothing to answer',
    words: /none of its outputs is a tensor/,
    models: ['node.test_if_opt', 'node.test_if_seq'],
  },
  {
    why: 'Operators for training, which this build of ONNX Runtime leaves out',
    words: /is not a registered function\/op/,
    models: [
      'node.test_adagrad',
      'node.test_adagrad_multiple',
      'node.test_adam',
      'node.test_adam_multiple',
      'node.test_momentum',
      'node.test_momentum_multiple',
      'node.test_nesterov_momentum',
      'simple.test_gradient_of_add',
      'simple.test_gradient_of_add_and_mul',
    ],
  },
  {
    why: 'Known operators, but not in this type or in this old opset',
    words: /Could not find an implementation for/,
    models: [
      'node.test_bitshift_left_uint16',
      'node.test_bitshift_right_uint16',
      'node.test_max_int16',
      'node.test_max_uint16',
      'node.test_min_int16',
      'node.test_min_uint16',
      'node.test_pow_types_float32_uint32',
      'node.test_pow_types_float32_uint64',
      'pytorch-converted.test_AvgPool1d',
      'pytorch-converted.test_AvgPool1d_stride',
      'pytorch-converted.test_AvgPool2d',
      'pytorch-converted.test_AvgPool2d_stride',
      'pytorch-converted.test_AvgPool3d',
      'pytorch-converted.test_AvgPool3d_stride',
      'pytorch-converted.test_AvgPool3d_stride1_pad0_gpu_input',
      'pytorch-converted.test_BatchNorm1d_3d_input_eval',
      'pytorch-converted.test_BatchNorm2d_eval',
      'pytorch-converted.test_BatchNorm2d_momentum_eval',
      'pytorch-converted.test_BatchNorm3d_eval',
      'pytorch-converted.test_BatchNorm3d_momentum_eval',
      'pytorch-converted.test_GLU',
      'pytorch-converted.test_GLU_dim',
      'pytorch-converted.test_Linear',
      'pytorch-converted.test_PoissonNLLLLoss_no_reduce',
      'pytorch-converted.test_PReLU_1d',
      'pytorch-converted.test_PReLU_1d_multiparam',
      'pytorch-converted.test_PReLU_2d',
      'pytorch-converted.test_PReLU_2d_multiparam',
      'pytorch-converted.test_PReLU_3d',
      'pytorch-converted.test_PReLU_3d_multiparam',
      'pytorch-converted.test_Softsign',
      'pytorch-operator.test_operator_add_broadcast',
      'pytorch-operator.test_operator_add_size1_broadcast',
      'pytorch-operator.test_operator_add_size1_right_broadcast',
      'pytorch-operator.test_operator_add_size1_singleton_broadcast',
      'pytorch-operator.test_operator_addconstant',
      'pytorch-operator.test_operator_addmm',
      'pytorch-operator.test_operator_basic',
      'pytorch-operator.test_operator_mm',
      'pytorch-operator.test_operator_non_float_params',
      'pytorch-operator.test_operator_params',
      'pytorch-operator.test_operator_pow',
    ],
  },
  {
    why: 'Recurrent layers with the batch in front',
    words: /layout_ == 0 was false/,
    models: ['node.test_gru_batchwise', 'node.test_lstm_batchwise', 'node.test_simple_rnn_batchwise'],
  },
  {
    why: 'the protocol has no sequences',
    words: /is a sequence, only tensors can be sent/,
    models: [
      'node.test_identity_opt',
      'node.test_identity_sequence',
      'node.test_loop13_seq',
      'node.test_loop16_seq_none',
      'node.test_optional_get_element_sequence',
      'node.test_sequence_insert_at_back',
      'node.test_sequence_insert_at_front',
      'node.test_sequence_map_add_1_sequence_1_tensor',
      'node.test_sequence_map_add_1_sequence_1_tensor_expanded',
      'node.test_sequence_map_add_2_sequences',
      'node.test_sequence_map_add_2_sequences_expanded',
      'node.test_sequence_map_extract_shapes',
      'node.test_sequence_map_extract_shapes_expanded',
      'node.test_sequence_map_identity_1_sequence',
      'node.test_sequence_map_identity_1_sequence_1_tensor',
      'node.test_sequence_map_identity_1_sequence_1_tensor_expanded',
      'node.test_sequence_map_identity_1_sequence_expanded',
      'node.test_sequence_map_identity_2_sequences',
      'node.test_sequence_map_identity_2_sequences_expanded',
    ],
  },
]

/** Loads where the system has the locale en_US.UTF-8, and is then asked like any other. */
export const REFUSED_WITHOUT_LOCALE: Refused = {
  why: 'StringNormalizer asks the system for its locale',
  words: /Failed to construct locale with name:en_US\.UTF-8/,
  models: [
    'node.test_strnormalizer_export_monday_casesensintive_lower',
    'node.test_strnormalizer_export_monday_casesensintive_upper',
    'node.test_strnormalizer_export_monday_empty_output',
    'node.test_strnormalizer_export_monday_insensintive_upper_twodim',
    'simple.test_strnorm_model_monday_casesensintive_lower',
    'simple.test_strnorm_model_monday_casesensintive_upper',
    'simple.test_strnorm_model_monday_empty_output',
    'simple.test_strnorm_model_monday_insensintive_upper_twodim',
  ],
}

/** Served, but cannot be asked: what comes instead of an answer. */
export const NOT_ANSWERED: readonly { readonly says: RegExp; readonly models: readonly string[] }[] = [
  // An optional without a value: ONNX Runtime's C API has no way to make one.
  { says: /missing "optional_input"/, models: ['node.test_optional_has_element_empty'] },
  // The stored input is not of the shape that the model says, which ONNX Runtime refuses as well.
  {
    says: /input "like" is (FP32|BF16) \[1\], expected \1 \[3,4\]/,
    models: [
      'node.test_castlike_BFLOAT16_to_FLOAT',
      'node.test_castlike_BFLOAT16_to_FLOAT_expanded',
      'node.test_castlike_FLOAT_to_BFLOAT16',
      'node.test_castlike_FLOAT_to_BFLOAT16_expanded',
    ],
  },
]

export const RANDOM_OPERATORS: readonly string[] = ['Bernoulli', 'Dropout', 'RandomUniformLike']

/** Each run draws other numbers, whatever the seed: shapes and datatypes are compared, values are not. */
export const RANDOM: readonly string[] = [
  'node.test_bernoulli',
  'node.test_bernoulli_double',
  'node.test_bernoulli_double_expanded',
  'node.test_bernoulli_expanded',
  'node.test_bernoulli_seed',
  'node.test_bernoulli_seed_expanded',
  'node.test_training_dropout',
  'node.test_training_dropout_default',
  'node.test_training_dropout_default_mask',
  'node.test_training_dropout_mask',
]

/** ONNX Runtime's own answer is not the stored one: what the server answers must be that of onnxruntime-node. */
export const ANSWERED_OTHERWISE: readonly string[] = [
  // Shortest decimals of another library.
  'node.test_cast_FLOAT_to_STRING',
  'node.test_castlike_FLOAT_to_STRING',
  'node.test_castlike_FLOAT_to_STRING_expanded',
  // Rounding around zero, more than ONNX allows.
  'node.test_dft',
  'node.test_dft_axis',
  'node.test_dft_inverse',
  'node.test_stft',
  'node.test_stft_with_window',
  // Disagreements about what the operator means.
  'node.test_maxunpool_export_with_output_shape',
  'node.test_resize_downsample_scales_cubic_align_corners',
  'node.test_resize_downsample_scales_linear_align_corners',
]

/** The stored output was cut off, not rounded; onnxruntime-node has no such datatype to compare with. */
export const CUT_OFF = 'node.test_cast_FLOAT_to_BFLOAT16'
