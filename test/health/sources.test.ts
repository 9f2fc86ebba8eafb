/** What each source reads off each board. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readBoard } from '../../src/health/board.ts'
import type { Measured, Source } from '../../src/health/source.ts'
import { Cooling } from '../../src/health/sources/cooling.ts'
import { DiskSpace } from '../../src/health/sources/disk-space.ts'
import { DiskWear } from '../../src/health/sources/disk-wear.ts'
import { Gauges } from '../../src/health/sources/gauges.ts'
import { JetsonGpu } from '../../src/health/sources/jetson-gpu.ts'
import { Network } from '../../src/health/sources/network.ts'
import { Nvidia } from '../../src/health/sources/nvidia.ts'
import { PowerMode } from '../../src/health/sources/power-mode.ts'
import { PowerRails } from '../../src/health/sources/power-rails.ts'
import { Pressure } from '../../src/health/sources/pressure.ts'
import { ProcessorsAndMemory } from '../../src/health/sources/processors.ts'
import { Thermal } from '../../src/health/sources/thermal.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { FakeClock } from '../kit/fake-clock.ts'
import { BOARDS, type Board, setUpBoard } from './board.ts'

const boards = new Map<(typeof BOARDS)[number], Board>()
beforeAll(async () => {
  for (const name of BOARDS) boards.set(name, await setUpBoard(name))
})
afterAll(async () => {
  for (const board of boards.values()) await board.remove()
})

function on(name: (typeof BOARDS)[number]): Board {
  const board = boards.get(name)
  if (board === undefined) throw new Error(`no board ${name}`)
  return board
}

/** As a person would write it down: `name{label value} value`. */
async function read(source: Source): Promise<string[]> {
  return (await source.read()).map(({ name, labels, value }) => {
    const said = Object.values(labels ?? {}).join(', ')
    return `${name}${said === '' ? '' : `{${said}}`} ${Math.round(value * 1000) / 1000}`
  })
}

describe('temperatures', () => {
  test.each([
    [
      'xavier-jetpack4',
      [
        'temperature_celsius{CPU-therm} 41.5',
        'temperature_celsius{GPU-therm} 40',
        'temperature_celsius{AUX-therm} 39.5',
      ],
    ],
    ['orin-jetpack5', ['temperature_celsius{CPU-therm} 47.125', 'temperature_celsius{tj-therm} 47.468']],
    [
      'orin-jetpack6',
      [
        'temperature_celsius{cpu-thermal} 48.906',
        'temperature_celsius{gpu-thermal} 49.25',
        'temperature_celsius{tj-thermal} 49.25',
      ],
    ],
    [
      'thor',
      [
        'temperature_celsius{cpu-thermal} 44.187',
        'temperature_celsius{gpu-thermal} 42.5',
        'temperature_celsius{tj-thermal} 44.187',
      ],
    ],
    [
      'x86',
      [
        'temperature_celsius{acpitz-0} 27.8',
        'temperature_celsius{acpitz-1} 29.8',
        'temperature_celsius{x86_pkg_temp} 71',
      ],
    ],
  ] as const)('%s: zones that are off, and what is no sensor, are left out', async (board, expected) => {
    expect(await read(new Thermal(on(board).files))).toEqual([...expected])
  })
})

describe('power', () => {
  test.each([
    [
      'xavier-jetpack4',
      [
        'power_watts{GPU} 1.155',
        'power_watts{CPU} 0.385',
        'power_watts{SOC} 0.77',
        'power_watts{CV} 0',
        'power_watts{SYS5V} 2.2',
        'power_total_watts 4.51',
      ],
    ],
    [
      'orin-jetpack5',
      [
        'power_watts{VDD_GPU_SOC} 2.391',
        'power_watts{VDD_CPU_CV} 0.797',
        'power_watts{VIN_SYS_5V0} 3.772',
        'power_watts{VDDQ_VDD2_1V8AO} 0.502',
        'power_total_watts 7.462',
        'throttled{over-current VDD_GPU_SOC} 0',
        'throttled{over-current VDD_CPU_CV} 0',
        'throttled{over-current VIN_SYS_5V0} 1',
      ],
    ],
    [
      'orin-jetpack6',
      [
        'power_watts{VDD_IN} 14.928',
        'power_watts{VDD_CPU_GPU_CV} 7.452',
        'power_watts{VDD_SOC} 2.484',
        'power_total_watts 14.928',
        'throttled{over-current VDD_IN} 1',
      ],
    ],
    ['thor', ['power_watts{VDD_GPU} 5.992', 'power_watts{VDD_CPU_SOC_MSS} 9', 'power_total_watts 14.992']],
    ['x86', []],
  ] as const)(
    '%s: rails by their names, what is not connected left out, the whole board once',
    async (board, expected) => {
      expect(await read(new PowerRails(on(board).files))).toEqual([...expected])
    },
  )

  test('the mode is asked of nvpmodel once, and again when it was changed', async () => {
    const board = on('orin-jetpack6')
    const mode = new PowerMode(board)
    expect([await read(mode), await read(mode)]).toEqual([['power_mode{25W} 1'], ['power_mode{25W} 1']])
    expect(board.ran).toEqual(['nvpmodel -q'])
    await board.write('var/lib/nvpmodel/status', 'pmode:0000')
    await mode.read()
    expect(board.ran).toEqual(['nvpmodel -q', 'nvpmodel -q'])
    expect(await read(new PowerMode(on('xavier-jetpack4')))).toEqual(['power_mode{MODE_15W} 2'])
    expect(await read(new PowerMode(on('x86')))).toEqual([])
  })
})

describe('what slows the board down', () => {
  test.each([
    [
      'xavier-jetpack4',
      [
        'cooling_state{pwm-fan} 2',
        'cooling_state{cpu-balanced} 3',
        'throttled{cpu-balanced} 1',
        'cooling_state{gpu-balanced} 0',
        'throttled{gpu-balanced} 0',
      ],
    ],
    [
      'orin-jetpack5',
      [
        'cooling_state{pwm-fan} 1',
        'cooling_state{cpu-throttle-alert} 0',
        'throttled{cpu-throttle-alert} 0',
        'cooling_state{gpu-throttle-alert} 1',
        'throttled{gpu-throttle-alert} 1',
        'cooling_state{hot-surface-alert} 1',
        'cooling_state{thermal-cpufreq} 4',
        'throttled{thermal-cpufreq} 1',
      ],
    ],
    [
      'x86',
      [
        'cooling_state{Processor} 2',
        'throttled{Processor} 1',
        'cooling_state{intel_powerclamp} 0',
        'cooling_state{TCC Offset} 0',
        'cooling_state{Fan} 1',
      ],
    ],
  ] as const)('%s: a fan that turns does not', async (board, expected) => {
    expect(await read(new Cooling(on(board).files))).toEqual([...expected])
  })
})

describe('the GPU', () => {
  test.each([
    [
      'xavier-jetpack4',
      [
        'gpu_load_percent{gv11b} 43.7',
        'gpu_frequency_hertz{gv11b} 1198500000',
        'gpu_frequency_max_hertz{gv11b} 1377000000',
      ],
    ],
    [
      'orin-jetpack5',
      [
        'gpu_load_percent{ga10b} 0',
        'gpu_frequency_hertz{ga10b} 306000000',
        'gpu_frequency_max_hertz{ga10b} 1300500000',
      ],
    ],
    [
      'orin-jetpack6',
      [
        'gpu_load_percent{gpu} 99.3',
        'gpu_frequency_hertz{gpu} 1020000000',
        'gpu_frequency_max_hertz{gpu} 1020000000',
      ],
    ],
    [
      'thor',
      [
        'gpu_frequency_hertz{gpu-gpc-0} 1575000000',
        'gpu_frequency_max_hertz{gpu-gpc-0} 1575000000',
        'gpu_frequency_hertz{gpu-nvd-0} 1692000000',
        'gpu_frequency_max_hertz{gpu-nvd-0} 1692000000',
      ],
    ],
    ['x86', []],
  ] as const)(
    '%s by devfreq: its load where the kernel tells it, and no other engine',
    async (board, expected) => {
      expect(await read(new JetsonGpu(on(board).files))).toEqual([...expected])
    },
  )

  test('of an x86 host by NVML: what it knows, and why it is slow', async () => {
    const known = {
      uuid: 'GPU-a',
      utilization: 0.5,
      memoryBytesTotal: 8e9,
      memoryBytesUsed: 2e9,
      powerWatts: 60,
      powerLimitWatts: 70,
      energyJoules: 5,
      temperatureCelsius: 83,
      clockHertz: 1.2e9,
      throttleReasons: 0x20n,
    }
    expect(await read(new Nvidia({ sample: () => Promise.resolve([known]) }))).toEqual([
      'gpu_load_percent{GPU-a} 50',
      'gpu_memory_used_bytes{GPU-a} 2000000000',
      'gpu_memory_total_bytes{GPU-a} 8000000000',
      'gpu_frequency_hertz{GPU-a} 1200000000',
      'gpu_power_watts{GPU-a} 60',
      'gpu_power_limit_watts{GPU-a} 70',
      'temperature_celsius{GPU-a} 83',
      'throttled{gpu power cap} 0',
      'throttled{gpu hardware slowdown} 0',
      'throttled{gpu temperature} 1',
      'throttled{gpu hardware temperature} 0',
      'throttled{gpu power brake} 0',
    ])
    expect(await read(new Nvidia({ sample: () => Promise.resolve([]) }))).toEqual([])
  })
})

describe('the machine', () => {
  test('processors and memory, by what has changed since the reading before', async () => {
    const board = on('x86')
    const clock = new FakeClock()
    const source = new ProcessorsAndMemory({ ...board, clock })
    const memory = [
      'memory_total_bytes 16384000000',
      'memory_used_bytes 4096000000',
      'memory_used_percent 25',
      'swap_used_bytes 1024000000',
      'load_average 1.25',
    ]
    expect(await read(source)).toEqual(['cpu_percent 0', ...memory])
    clock.advance(10_000)
    await board.write('proc/stat', 'cpu  1250 0 500 8250 500 0 0 0 0 0')
    expect(await read(source)).toEqual(['cpu_percent 50', ...memory])
    expect(await read(new ProcessorsAndMemory({ ...on('thor'), clock }))).toEqual([])
  })

  test('pressure, where the kernel counts it', async () => {
    expect(await read(new Pressure(on('orin-jetpack6').files))).toEqual([
      'pressure_percent{cpu, some} 12.5',
      'pressure_percent{cpu, full} 0',
      'pressure_percent{memory, some} 0',
      'pressure_percent{memory, full} 0',
      'pressure_percent{io, some} 3.25',
      'pressure_percent{io, full} 1.75',
    ])
    expect(await read(new Pressure(on('xavier-jetpack4').files))).toEqual([])
  })

  test('the network: real interfaces, as a rate; one that counts anew is waited for', async () => {
    const board = on('x86')
    const clock = new FakeClock()
    const source = new Network({ ...board, clock })
    expect(await read(source)).toEqual([])
    clock.advance(10_000)
    await board.write(
      'proc/net/dev',
      '  eth0: 1500000 1 3 0 0 0 0 0 410000 1 0 0 0 0 0 0\n  lo: 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9',
    )
    expect(await read(source)).toEqual([
      'network_received_bytes_per_second{eth0} 50000',
      'network_sent_bytes_per_second{eth0} 1000',
      'network_errors_per_second{eth0} 0.2',
    ])
    clock.advance(10_000)
    await board.write('proc/net/dev', '  eth0: 10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0')
    expect(await read(source)).toEqual([])
  })

  test('disks: room and inodes, and none where the file system counts none', async () => {
    const disks = { state: '/data', models: '/models' }
    const statfs = (path: string) =>
      Promise.resolve({
        bsize: 4096,
        blocks: 1000,
        bavail: 250,
        files: path === '/data' ? 100 : 0,
        ffree: 10,
      })
    expect(await read(new DiskSpace({ disks, statfs }))).toEqual([
      'disk_used_percent{state} 75',
      'disk_free_bytes{state} 1024000',
      'inodes_used_percent{state} 90',
      'disk_used_percent{models} 75',
      'disk_free_bytes{models} 1024000',
    ])
  })

  test.each([
    ['xavier-jetpack4', ['disk_wear_percent{mmcblk0} 20']],
    ['orin-jetpack5', ['disk_wear_percent{mmcblk0} 10']],
    ['orin-jetpack6', ['disk_wear_percent{nvme0n1} 7']],
    // No program there that may ask.
    ['x86', []],
  ] as const)('%s: how much of its disk is worn, asked once an hour', async (name, expected) => {
    const board = on(name)
    const clock = new FakeClock()
    const source = new DiskWear({ ...board, clock })
    const before = board.ran.length
    expect([await read(source), await read(source)]).toEqual([[...expected], [...expected]])
    const once = board.ran.length - before
    clock.advance(3_600_001)
    await source.read()
    expect(board.ran.length - before).toBe(2 * once)
  })

  test('what the agent knows itself, where it knows it', async () => {
    const source = new Gauges({ name: 'agent', ask: () => ({ link_up: 1, metadata_hours: undefined }) })
    expect(await read(source)).toEqual(['link_up 1'])
  })

  test.each([
    ['xavier-jetpack4', 'R32.7.4', '4', 'Jetson-AGX'],
    ['orin-jetpack5', 'R35.4.1', '5', 'Jetson AGX Orin Developer Kit'],
    ['orin-jetpack6', 'R36.4.3', '6', 'NVIDIA Jetson Orin Nano Developer Kit'],
    ['thor', 'R38.2.0', '7', 'NVIDIA Jetson AGX Thor Developer Kit'],
  ] as const)('%s says what it is', async (name, l4t, jetpack, model) => {
    const facts = await readBoard({ ...on(name), clock: systemClock })
    expect(facts).toMatchObject({ manufacturer: 'NVIDIA', model, l4t, jetpack })
    expect(facts.cores).toBeGreaterThan(0)
  })
})

test('a file that is no file, or is far too long, is read as far as it goes', async () => {
  const board = on('x86')
  await board.write('sys/class/thermal/thermal_zone7/type/oddly/a/folder', 'x')
  await board.write('sys/class/thermal/thermal_zone7/temp', '1')
  await board.write('proc/loadavg', 'x'.repeat(200_000))
  const measured: readonly Measured[] = await new Thermal(board.files).read()
  expect(measured.length).toBe(3)
  expect((await board.files.read('proc/loadavg'))?.length).toBe(65_536)
})
