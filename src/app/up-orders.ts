/** The one thing that the agent may ask of the supervisor. */
export const RESTART_SERVE = 'restart_serve'

export function isRestartOrder(message: unknown): boolean {
  return (
    typeof message === 'object' &&
    message !== null &&
    (message as { order?: unknown }).order === RESTART_SERVE
  )
}
