import { describe, expect, test } from 'bun:test'
import type { Given } from '../../src/client/given.ts'
import type { Metadata } from '../../src/client/metadata.ts'
import { createPlan } from '../../src/client/plan.ts'
import { ClientHints } from '../../src/config/client-hints.ts'
import { asImage, buildPng } from './png-file.ts'
import { asAudio, buildWav, encodeSound } from './wav-file.ts'

const SOUND = { from: 'audio', sample_rate_hz: 16_000, window_samples: 2 }
const PHOTO = { from: 'image' }

/** Inputs of one batch and any sides; an image has three channels. */
function describeModel(inputs: Record<string, object>): Metadata {
  return {
    name: 'm',
    inputs: Object.entries(inputs).map(([name, hint]) => {
      return { name, datatype: 'FP32', shape: 'sample_rate_hz' in hint ? [1, -1] : [1, 3, -1, -1] }
    }),
    outputs: [],
    properties: { client: ClientHints.parse({ inputs, outputs: {} }) },
  }
}

const sound: Given = { kind: 'audio', file: asAudio(buildWav({ sound: encodeSound([1, 2, 3, 4, 5]) })) }
const photo: Given = { kind: 'image', file: asImage(buildPng([[[1, 2, 3]]])) }

describe('a plan', () => {
  test('has a step for each window, and what stays the same beside it', async () => {
    const model = describeModel({ ears: SOUND, eye: PHOTO })
    const plan = await createPlan(model, sound.file, new Map([['eye', photo]]))
    if (plan.kind !== 'steps') throw new Error('not steps')
    expect(plan.constants.map(({ name }) => name)).toEqual(['eye'])
    expect([...plan.steps].map((step) => step.map(({ name, shape }) => ({ name, shape })))).toEqual([
      [{ name: 'ears', shape: [1, 2] }],
      [{ name: 'ears', shape: [1, 2] }],
      [{ name: 'ears', shape: [1, 2] }],
    ])
    expect(plan.timeline).toEqual({ windowSeconds: 2 / 16_000, durationSeconds: 5 / 16_000 })
    expect(plan.placement?.original).toEqual({ width: 1, height: 1 })
  })

  test('takes a file for the one input that no option fills', async () => {
    const model = describeModel({ left: PHOTO, right: PHOTO })
    const plan = await createPlan(model, photo.file, new Map([['left', photo]]))
    expect(plan).toMatchObject({ constants: [{ name: 'left' }, { name: 'right' }] })
  })

  test('does not guess which of two inputs a file is for', async () => {
    const planning = createPlan(describeModel({ left: PHOTO, right: PHOTO }), photo.file, new Map())
    await expect(planning).rejects.toThrow(
      'the hints make "left", "right" of one; name each with --input NAME=FILE',
    )
  })

  test('is of one recording', async () => {
    const options = new Map([
      ['left', sound],
      ['right', sound],
    ])
    const planning = createPlan(describeModel({ left: SOUND, right: SOUND }), undefined, options)
    await expect(planning).rejects.toThrow('Cannot send two recordings at once')
  })

  test('of windows that the model does not take is refused when the first is cut', async () => {
    const model = describeModel({ ears: SOUND })
    const inputs = model.inputs.map((input) => ({ ...input, shape: [1, 3] }))
    const plan = await createPlan({ ...model, inputs }, sound.file, new Map())
    const walk = () => plan.kind === 'steps' && [...plan.steps]
    expect(walk).toThrow('the model takes [1, 3], the hints make [2]; see window_samples and context_samples')
  })
})
