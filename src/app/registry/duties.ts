import type { RegistryConfig } from '../../config/registry-config.ts'
import type { Clock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/errors.ts'
import { logger } from '../../kit/log.ts'
import { ConsulAgent } from '../../registry/consul-agent.ts'
import { ConsulSync } from '../../registry/consul-sync.ts'
import type { MqttService } from '../../registry/mqtt-service.ts'
import type { Registry } from '../../registry/registry.ts'
import { readSetting } from './settings.ts'

const LOG = logger('registry')

export interface Duty {
  readonly everyMs: number
  readonly work: () => Promise<void>
  /** What the log calls it when it does not go. */
  readonly failure: string
}

/** What a registry does by itself, again and again, as long as it runs. */
export function dutiesOf(registry: Registry, service: MqttService): readonly Duty[] {
  const { rollouts, devices, published } = registry
  return [
    {
      everyMs: 1_000,
      failure: 'registry.rollouts_failed',
      work: async () => await service.announceDesired(rollouts.tick()).catch(complain),
    },
    {
      // A registry from an old copy goes on above what its devices have seen: below that they would believe nothing of it.
      everyMs: 5_000,
      failure: 'registry.signing_failed',
      work: async () => {
        const seen = devices.metadataSeen()
        if (!(await published.resignAbove(seen))) return
        LOG.warn('registry.metadata_caught_up', seen)
        await service.announceMetadata().catch(complain)
      },
    },
    {
      // What is about to expire.
      everyMs: 3_600_000,
      failure: 'registry.signing_failed',
      work: async () => {
        if (await published.resign()) await service.announceMetadata()
      },
    },
  ]
}

/** Until the signal fires. One that fails has done nothing: the next time it is tried again. */
export async function keepDoing(
  { everyMs, work, failure }: Duty,
  { clock, stop }: { clock: Clock; stop: AbortSignal },
): Promise<void> {
  while (!stop.aborted) {
    await clock.sleep(everyMs, stop)
    if (stop.aborted) return
    try {
      await work()
    } catch (error) {
      LOG.error(failure, { reason: messageOf(error) })
    }
  }
}

/** Where it is set, and for as long as the registry runs. */
export async function syncConsul(
  { endpoints }: Registry,
  { consul, clock, stop }: { consul: RegistryConfig['consul']; clock: Clock; stop: AbortSignal },
): Promise<void> {
  if (consul === undefined) return
  const token = consul.token_file === undefined ? undefined : (await readSetting(consul.token_file)).trim()
  const sync = new ConsulSync({
    agent: new ConsulAgent({ url: consul.url, token }),
    endpoints,
    rules: {
      service: consul.service,
      tags: consul.tags,
      checkSeconds: consul.check_seconds,
      awaySeconds: consul.away_seconds,
    },
    everyMs: consul.every_seconds * 1000,
    clock,
  })
  void sync.run(stop)
}

/** What devices were not told now they hear when they ask. */
export function complain(error: unknown): void {
  LOG.warn('registry.announcement_failed', { reason: messageOf(error) })
}
