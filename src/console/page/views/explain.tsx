import { Empty, Loaded, Panel } from '../parts/page.tsx'
import { useResource } from '../resource.ts'

interface Explained {
  readonly model: string
  readonly runs: { readonly version: string } | null
  readonly because: string
  readonly passed_over: readonly { readonly version: string; readonly because: string }[]
}

/** What the device should run, because of which rule, and what else was said. */
export function Explain({ device }: { readonly device: string }) {
  const explained = useResource<{ models: Explained[] }>(
    `/v1/devices/${encodeURIComponent(device)}/explain`,
    {
      kinds: ['assignment', 'rollout'],
    },
  )
  return (
    <Panel title="Why it should run this">
      <Loaded from={explained}>
        {({ models }) =>
          models.length === 0 ? (
            <Empty>Nobody has said yet what it should run.</Empty>
          ) : (
            <ul class="plain-list">
              {models.map(({ model, runs, because, passed_over: others }) => (
                <li key={model}>
                  <b>
                    {model} {runs?.version ?? 'not at all'}
                  </b>
                  : {because}
                  {others.map((other) => (
                    <p key={`${other.version} ${other.because}`} class="note">
                      not {other.version}: {other.because}
                    </p>
                  ))}
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </Panel>
  )
}
