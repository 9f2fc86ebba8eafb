import { z } from 'zod'

/** When requests are turned away because the board is hot. */
export const ThermalSettings = z
  .strictObject({
    /** From here on less is let in; 0 is never, and without it the firmware profile says. */
    shed_celsius: z.number().min(0).max(150).optional(),
    /** Between two looks at the sensors. */
    look_seconds: z.number().min(0.1).max(60).default(2),
  })
  .prefault({})
