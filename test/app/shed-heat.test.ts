import { describe, expect, test } from 'bun:test'
import { heatLimits, hottest } from '../../src/app/shed-heat.ts'
import { BUILT_IN } from '../../src/config/profile-list.ts'

const zone = (name: string, value: number) => ({
  name: 'temperature_celsius',
  labels: { zone: name },
  value,
})

describe('the limits', () => {
  const config = (shed_celsius?: number) => ({
    thermal: { look_seconds: 2, ...(shed_celsius === undefined ? {} : { shed_celsius }) },
  })

  test('are those of the profile, and every profile that tells where to shed throttles above', () => {
    const told = BUILT_IN.filter(({ thermal }) => thermal.shed_celsius !== undefined)
    expect(told.length).toBeGreaterThan(0)
    for (const profile of told) {
      const limits = heatLimits(config(), profile)
      expect(limits).toEqual({
        shedCelsius: profile.thermal.shed_celsius ?? Number.NaN,
        throttleCelsius: profile.thermal.throttle_celsius ?? Number.NaN,
      })
      expect(limits?.throttleCelsius).toBeGreaterThan(limits?.shedCelsius ?? Number.NaN)
    }
  })

  test.each([
    ['the config’s, which counts first', config(80), { throttle_celsius: 99, shed_celsius: 94 }, [80, 99]],
    ['the config’s, above where the board throttles', config(105), { throttle_celsius: 99 }, [105, 110]],
    ['none where the config says 0', config(0), { throttle_celsius: 99, shed_celsius: 94 }, undefined],
    ['none where nobody says any', config(), {}, undefined],
  ] as const)('are %s', (_, settings, thermal, expected) => {
    const limits = heatLimits(settings, { thermal })
    expect(limits && [limits.shedCelsius, limits.throttleCelsius]).toEqual(
      expected === undefined ? undefined : [...expected],
    )
  })
})

describe('the temperature', () => {
  const measured = [zone('cpu-thermal', 60), zone('gpu-thermal-1', 70), zone('wifi', 95)]

  test('is that of the hottest zone that the profile names, also where two have one name', () =>
    expect(hottest(measured, ['cpu-thermal', 'gpu-thermal'])).toBe(70))

  test('is that of the hottest zone where the profile names none', () =>
    expect(hottest(measured, [])).toBe(95))

  test('is none where none of the zones is there', () =>
    expect(hottest(measured, ['tj-thermal'])).toBeUndefined())
})
