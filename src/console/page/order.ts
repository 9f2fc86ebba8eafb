import { useAnnounce, useClient } from './client.ts'
import { words } from './format.ts'

/** What was asked of a device, and how it ended. */
export interface Command {
  readonly id: string
  readonly op: string
  readonly state: string
  readonly created: string
  readonly ended: string | null
  readonly code: string
  readonly reason: string
  readonly result: unknown
}

interface Order {
  readonly op: string
  readonly lines?: number
}

export function useOrder(path: string): (order: Order) => Promise<void> {
  const client = useClient()
  const announce = useAnnounce()
  return async (order) => {
    await client.send('POST', path, order)
    announce(`${words(order.op)}: on its way to the device`)
  }
}
