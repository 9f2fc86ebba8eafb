import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import { Profile } from '../config/profile.ts'
import { chooseProfile, type ProfileChoice, scoreOf } from '../config/profile-choice.ts'
import { readBoardFacts } from '../config/profile-facts.ts'
import { BUILT_IN } from '../config/profile-list.ts'
import { parseToml } from '../config/toml.ts'
import { EdgeError, messageOf } from '../kit/errors.ts'

const OWN_PROFILES_MAX = 256

/** The firmware profile of this board: the one that the config names, or the one that it is recognised by. */
export async function findProfile({ profile: { name, folder, facts_root } }: Config): Promise<ProfileChoice> {
  const own = folder === undefined ? [] : await readProfiles(folder)
  const taken = new Set(own.map((profile) => profile.name))
  const profiles = [...own, ...BUILT_IN.filter((profile) => !taken.has(profile.name))]
  refuseEqualScores(profiles)
  return chooseProfile(readBoardFacts(facts_root, process.arch), profiles, name)
}

async function readProfiles(folder: string): Promise<Profile[]> {
  const names = await readdir(folder).catch((cause) => {
    throw new EdgeError('config_invalid', `Cannot read profile.folder "${folder}": ${messageOf(cause)}`, {
      cause,
    })
  })
  const files = names.filter((name) => name.endsWith('.toml')).sort()
  if (files.length > OWN_PROFILES_MAX) {
    throw new EdgeError(
      'config_invalid',
      `Cannot use profile.folder "${folder}": it holds ${files.length} profiles, at most ${OWN_PROFILES_MAX}`,
    )
  }
  return await Promise.all(
    files.map(async (name) => {
      const path = join(folder, name)
      return parseToml(Profile, { path, text: await readFile(path, 'utf8') })
    }),
  )
}

/** Which of two counts must not hang on the order in which they are read. */
function refuseEqualScores(profiles: readonly Profile[]): void {
  const holders = new Map<number, string>()
  for (const { name, match } of profiles) {
    for (const score of match.map(scoreOf)) {
      const other = holders.get(score)
      if (other !== undefined) {
        throw new EdgeError(
          'config_invalid',
          `Cannot use profiles "${other}" and "${name}": both may score ${score}; give one another weight`,
        )
      }
      holders.set(score, name)
    }
  }
}
