const SHOWN_MAX = 200

/** A name or text from outside as part of a message: in quotes, printable, and not longer than a line. */
export function quote(text: string): string {
  return toPrintable(`"${text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text}"`)
}

/** At most so many of them by name, for a message. */
export function quoteSome(names: readonly string[], namesMax: number): string {
  if (names.length === 0) return 'none'
  const shown = names.slice(0, namesMax).map(quote).join(', ')
  return names.length > namesMax ? `${shown} and ${names.length - namesMax} more` : shown
}

/** One line for a terminal. What a server or a file says may not move the cursor or turn the text around. */
export function toPrintable(line: string): string {
  return line.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, '\uFFFD')
}
