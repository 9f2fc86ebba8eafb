import arm64 from '../../firmware-profiles/arm64.toml' with { type: 'text' }
import jetsonAgxOrin32gb from '../../firmware-profiles/jetson-agx-orin-32gb.toml' with { type: 'text' }
import jetsonAgxOrin64gb from '../../firmware-profiles/jetson-agx-orin-64gb.toml' with { type: 'text' }
import jetsonAgxThor from '../../firmware-profiles/jetson-agx-thor.toml' with { type: 'text' }
import jetsonAgxXavier from '../../firmware-profiles/jetson-agx-xavier.toml' with { type: 'text' }
import jetsonOrin from '../../firmware-profiles/jetson-orin.toml' with { type: 'text' }
import jetsonOrinNano4gb from '../../firmware-profiles/jetson-orin-nano-4gb.toml' with { type: 'text' }
import jetsonOrinNano8gb from '../../firmware-profiles/jetson-orin-nano-8gb.toml' with { type: 'text' }
import jetsonOrinNx8gb from '../../firmware-profiles/jetson-orin-nx-8gb.toml' with { type: 'text' }
import jetsonOrinNx16gb from '../../firmware-profiles/jetson-orin-nx-16gb.toml' with { type: 'text' }
import jetsonXavier from '../../firmware-profiles/jetson-xavier.toml' with { type: 'text' }
import jetsonXavierNx from '../../firmware-profiles/jetson-xavier-nx.toml' with { type: 'text' }
import raspberryPi5 from '../../firmware-profiles/raspberry-pi-5.toml' with { type: 'text' }
import unknown from '../../firmware-profiles/unknown.toml' with { type: 'text' }
import x64 from '../../firmware-profiles/x64.toml' with { type: 'text' }
import x64NvidiaSm70 from '../../firmware-profiles/x64-nvidia-sm70.toml' with { type: 'text' }
import x64NvidiaSm75 from '../../firmware-profiles/x64-nvidia-sm75.toml' with { type: 'text' }
import x64NvidiaSm80 from '../../firmware-profiles/x64-nvidia-sm80.toml' with { type: 'text' }
import x64NvidiaSm86 from '../../firmware-profiles/x64-nvidia-sm86.toml' with { type: 'text' }
import x64NvidiaSm89 from '../../firmware-profiles/x64-nvidia-sm89.toml' with { type: 'text' }
import x64NvidiaSm90 from '../../firmware-profiles/x64-nvidia-sm90.toml' with { type: 'text' }
import x64NvidiaSm100 from '../../firmware-profiles/x64-nvidia-sm100.toml' with { type: 'text' }
import x64NvidiaSm120 from '../../firmware-profiles/x64-nvidia-sm120.toml' with { type: 'text' }
import { Profile } from './profile.ts'
import { parseToml } from './toml.ts'

/** The texts of firmware-profiles/, which travel inside the binary. The compiler takes them for parsed. */
const TEXTS: Readonly<Record<string, unknown>> = {
  arm64,
  'jetson-agx-orin-32gb': jetsonAgxOrin32gb,
  'jetson-agx-orin-64gb': jetsonAgxOrin64gb,
  'jetson-agx-thor': jetsonAgxThor,
  'jetson-agx-xavier': jetsonAgxXavier,
  'jetson-orin': jetsonOrin,
  'jetson-orin-nano-4gb': jetsonOrinNano4gb,
  'jetson-orin-nano-8gb': jetsonOrinNano8gb,
  'jetson-orin-nx-16gb': jetsonOrinNx16gb,
  'jetson-orin-nx-8gb': jetsonOrinNx8gb,
  'jetson-xavier': jetsonXavier,
  'jetson-xavier-nx': jetsonXavierNx,
  'raspberry-pi-5': raspberryPi5,
  unknown,
  x64,
  'x64-nvidia-sm100': x64NvidiaSm100,
  'x64-nvidia-sm120': x64NvidiaSm120,
  'x64-nvidia-sm70': x64NvidiaSm70,
  'x64-nvidia-sm75': x64NvidiaSm75,
  'x64-nvidia-sm80': x64NvidiaSm80,
  'x64-nvidia-sm86': x64NvidiaSm86,
  'x64-nvidia-sm89': x64NvidiaSm89,
  'x64-nvidia-sm90': x64NvidiaSm90,
}

export const BUILT_IN: readonly Profile[] = Object.entries(TEXTS).map(([name, text]) =>
  parseToml(Profile, { path: `firmware-profiles/${name}.toml`, text: text as string }),
)
