/**
 * What boards say of themselves, written by hand in the formats that are documented: the kernel's device tree bindings
 * and "cpuinfo", NVIDIA's release files and module numbers, the public list of PCI ids.
 */
export interface Board {
  readonly profile: string
  readonly architecture: 'x64' | 'arm64'
  /** Below the root: path to text. */
  readonly files: Readonly<Record<string, string>>
  readonly jetpack?: string
}

export const RELEASES = {
  r32: '# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t186ref, EABI: aarch64, DATE: Sat Feb 19 17:07:00 UTC 2022\n',
  r35: '# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64, DATE: Tue Aug  1 19:57:35 UTC 2023\n',
  r36: '# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: oot\n',
  r38: '# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64, DATE: Fri Aug 22 00:55:42 UTC 2025\n',
} as const

export const zeros = (...words: string[]) => words.map((word) => `${word}\0`).join('')

export function armCpu(implementer: string, part: string, count: number): string {
  const one = (index: number) =>
    `processor\t: ${index}\nBogoMIPS\t: 62.50\nFeatures\t: fp asimd evtstrm aes\nCPU implementer\t: ${implementer}\n` +
    `CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: ${part}\nCPU revision\t: 1\n`
  return `${Array.from({ length: count }, (_, index) => one(index)).join('\n')}\n`
}

const memory = (gib: number) =>
  `MemTotal:       ${gib * 1024 * 1024} kB\nMemFree:        1000 kB\nMemAvailable:   2000 kB\n`

interface Jetson {
  readonly model: string
  readonly compatible: readonly string[]
  readonly release: string
  readonly cpu: string
  readonly gib: number
}

function jetson(profile: string, jetpack: string, { model, compatible, release, cpu, gib }: Jetson): Board {
  const files = {
    'proc/device-tree/model': zeros(model),
    'proc/device-tree/compatible': zeros(...compatible),
    'etc/nv_tegra_release': release,
    'proc/cpuinfo': cpu,
    'proc/meminfo': memory(gib),
  }
  return { profile, jetpack, architecture: 'arm64', files }
}

const orin = (module: string, tail = '') => [
  `nvidia,p3768-0000+${module}${tail}`,
  `nvidia,${module}`,
  'nvidia,tegra234',
]
const A78AE = (count: number) => armCpu('0x41', '0xd42', count)
const CARMEL = (count: number) => armCpu('0x4e', '0x004', count)
const devkit = 'NVIDIA Jetson Orin Nano Engineering Reference Developer Kit'

export function x64(profile: string, devices: readonly (readonly [kind: string, id: string])[]): Board {
  const pci = devices.flatMap(([kind, id], index) => {
    const at = `sys/bus/pci/devices/0000:0${index}:00.0`
    const [vendor, device] = id.split(':')
    return [
      [`${at}/class`, `0x${kind}\n`],
      [`${at}/vendor`, `0x${vendor}\n`],
      [`${at}/device`, `0x${device}\n`],
    ]
  })
  const cpu =
    'processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Gold 6430\nflags\t\t: fpu avx2\n\n'
  const files = { 'proc/cpuinfo': cpu, 'proc/meminfo': memory(64), ...Object.fromEntries(pci) }
  return { profile, architecture: 'x64', files }
}

/** PCI: a network card first, the audio function of the GPU last, as on real machines. */
const gpu = (profile: string, id: string, kind = '030200') =>
  x64(profile, [
    ['020000', '8086:1533'],
    [kind, `10de:${id}`],
    ['040300', '10de:22ba'],
  ])

export const BOARDS: readonly Board[] = [
  jetson('jetson-orin-nano-4gb', '6', {
    model: devkit,
    compatible: orin('p3767-0004'),
    release: RELEASES.r36,
    cpu: A78AE(6),
    gib: 3.5,
  }),
  jetson('jetson-orin-nano-8gb', '6', {
    model: `${devkit} Super`,
    compatible: orin('p3767-0005', '-super'),
    release: RELEASES.r36,
    cpu: A78AE(6),
    gib: 7.5,
  }),
  jetson('jetson-orin-nano-8gb', '5', {
    model: 'Jetson Orin Nano',
    compatible: ['acme,carrier-7+p3767-0003', 'nvidia,p3767-0003', 'nvidia,tegra234', 'nvidia,tegra23x'],
    release: RELEASES.r35,
    cpu: A78AE(6),
    gib: 7,
  }),
  jetson('jetson-orin-nx-8gb', '6', {
    model: 'NVIDIA Jetson Orin NX 8GB',
    compatible: orin('p3767-0001'),
    release: RELEASES.r36,
    cpu: A78AE(6),
    gib: 7.5,
  }),
  jetson('jetson-orin-nx-16gb', '5', {
    model: 'NVIDIA Orin NX Developer Kit',
    compatible: orin('p3767-0000'),
    release: RELEASES.r35,
    cpu: A78AE(8),
    gib: 15.5,
  }),
  jetson('jetson-agx-orin-32gb', '5', {
    model: 'Jetson AGX Orin Developer Kit',
    compatible: ['nvidia,p3737-0000+p3701-0000', 'nvidia,p3701-0000', 'nvidia,tegra234'],
    release: RELEASES.r35,
    cpu: A78AE(12),
    gib: 30,
  }),
  jetson('jetson-agx-orin-64gb', '6', {
    model: 'NVIDIA Jetson AGX Orin Developer Kit',
    compatible: ['nvidia,p3737-0000+p3701-0005', 'nvidia,p3701-0005', 'nvidia,tegra234'],
    release: RELEASES.r36,
    cpu: A78AE(12),
    gib: 61,
  }),
  jetson('jetson-orin', '6', {
    model: 'Acme Box',
    compatible: ['acme,box', 'nvidia,tegra234'],
    release: RELEASES.r36,
    cpu: A78AE(8),
    gib: 15.5,
  }),
  jetson('jetson-xavier-nx', '4', {
    model: 'NVIDIA Jetson Xavier NX Developer Kit',
    compatible: ['nvidia,p3449-0000+p3668-0000', 'nvidia,p3668-0000', 'nvidia,tegra194'],
    release: RELEASES.r32,
    cpu: CARMEL(6),
    gib: 7.5,
  }),
  jetson('jetson-agx-xavier', '5', {
    model: 'Jetson-AGX',
    compatible: ['nvidia,p2972-0000', 'nvidia,tegra194'],
    release: RELEASES.r35,
    cpu: CARMEL(8),
    gib: 31,
  }),
  jetson('jetson-xavier', '5', {
    model: 'Acme Rover',
    compatible: ['acme,rover', 'nvidia,tegra194'],
    release: RELEASES.r35,
    cpu: CARMEL(8),
    gib: 31,
  }),
  jetson('jetson-agx-thor', '7', {
    model: 'NVIDIA Jetson AGX Thor Developer Kit',
    compatible: ['nvidia,p4071-0000+p3834-0008', 'nvidia,p3834-0008', 'nvidia,tegra264'],
    release: RELEASES.r38,
    cpu: armCpu('0x41', '0xd83', 14),
    gib: 122,
  }),
  {
    profile: 'raspberry-pi-5',
    architecture: 'arm64',
    files: {
      'proc/device-tree/model': zeros('Raspberry Pi 5 Model B Rev 1.0'),
      'proc/device-tree/compatible': zeros('raspberrypi,5-model-b', 'brcm,bcm2712'),
      'proc/cpuinfo': armCpu('0x41', '0xd0b', 4),
      'proc/meminfo': memory(8),
    },
  },
  {
    profile: 'arm64',
    architecture: 'arm64',
    files: {
      'proc/device-tree/model': zeros('Radxa ROCK 5B'),
      'proc/device-tree/compatible': zeros('radxa,rock-5b', 'rockchip,rk3588'),
      'proc/cpuinfo': armCpu('0x41', '0xd05', 4) + armCpu('0x41', '0xd0b', 4),
      'proc/meminfo': memory(16),
    },
  },
  gpu('x64-nvidia-sm70', '1db6'),
  gpu('x64-nvidia-sm75', '1eb8'),
  gpu('x64-nvidia-sm75', '2184', '030000'),
  gpu('x64-nvidia-sm80', '20b5'),
  gpu('x64-nvidia-sm86', '2204', '030000'),
  gpu('x64-nvidia-sm86', '25b6'),
  gpu('x64-nvidia-sm89', '26b9'),
  gpu('x64-nvidia-sm89', '27b8'),
  gpu('x64-nvidia-sm90', '2330'),
  gpu('x64-nvidia-sm100', '2901'),
  gpu('x64-nvidia-sm120', '2b85', '030000'),
  x64('x64', [
    ['020000', '8086:1533'],
    ['030000', '1a03:2000'],
  ]),
]
