import type { ApiKeys } from './api-keys.ts'
import type { Caller } from './caller.ts'
import type { LiveFeed, LiveNews } from './live.ts'
import type { Route } from './route.ts'
import type { Sessions } from './session.ts'

export interface LiveRouteParts {
  readonly live: LiveFeed
  readonly keys: ApiKeys
  readonly sessions: Sessions
}

/** What has changed, as server-sent events: a comment now and then shows that the line is whole. */
export function liveRoutes({ live, ...known }: LiveRouteParts): Route[] {
  return [
    [
      'viewer',
      'GET',
      '/v1/live',
      (_, caller) =>
        new Response(streamOf(live, { isWelcome: () => isStillWelcome(caller, known) }), {
          headers: {
            'Content-Type': 'text/event-stream',
            'Cache-Control': 'no-store',
            // For nginx, which would hold it back until there is much of it.
            'X-Accel-Buffering': 'no',
          },
        }),
    ],
  ]
}

function isStillWelcome(caller: Caller, { keys, sessions }: Omit<LiveRouteParts, 'live'>): boolean {
  if (caller.kind !== 'key') return false
  return caller.session === undefined ? keys.isActive(caller.key.id) : sessions.isOpen(caller.session.id)
}

function streamOf(live: LiveFeed, { isWelcome }: { isWelcome: () => boolean }): ReadableStream<Uint8Array> {
  const listener = live.listen()
  const encoder = new TextEncoder()
  return new ReadableStream({
    start: (controller) => controller.enqueue(encoder.encode(': here\n\n')),
    pull: async (controller) => {
      const news = await listener.next()
      if (news !== undefined && isWelcome()) return controller.enqueue(encoder.encode(eventsOf(news)))
      if (news !== undefined) listener.close()
      controller.close()
    },
    cancel: () => listener.close(),
  })
}

function eventsOf(news: LiveNews): string {
  if (news.size === 0) return ': here\n\n'
  return [...news].map(([kind, ids]) => `data: ${JSON.stringify({ kind, ids })}\n\n`).join('')
}
