/** What came of the checks, for a person. */

/** "not run" is no failure: it says what was wanting. */
export interface Finding {
  readonly check: string
  readonly result: 'ok' | 'failed' | 'not run'
  readonly says: string
}

export function asTable(findings: readonly Finding[]): string {
  const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll(/\s*\n\s*/g, '; ')
  const rows = findings.map(({ check, result, says }) => `| ${cell(check)} | ${result} | ${cell(says)} |`)
  return ['| check | result | figures, or why |', '|---|---|---|', ...rows].join('\n')
}

/** A check that throws has failed, by what it says. */
export async function attempt(check: string, make: () => Promise<string>): Promise<Finding> {
  try {
    return { check, result: 'ok', says: await make() }
  } catch (error) {
    if (error instanceof NotRun) return { check, result: 'not run', says: error.message }
    return { check, result: 'failed', says: error instanceof Error ? error.message : String(error) }
  }
}

/** What a check needs is not here. */
export class NotRun extends Error {
  override readonly name = 'NotRun'
}
