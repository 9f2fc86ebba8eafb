import { plural } from '../format.ts'
import { Empty, Loaded, PageHead } from '../parts/page.tsx'
import { Table } from '../parts/table.tsx'
import { useResource } from '../resource.ts'
import { Link } from '../router.tsx'
import type { Model } from '../types.ts'

export function ModelsView() {
  const models = useResource<{ models: Model[] }>('/v1/models', { kinds: ['model'] })
  return (
    <>
      <PageHead title="Models" note="What publishers have signed. Nothing else runs anywhere." />
      <section class="panel" aria-label="Models">
        <Loaded from={models}>
          {(list) =>
            list.models.length === 0 ? (
              <Empty>Nothing is published yet. “limpet model push” signs and uploads a version.</Empty>
            ) : (
              <Table
                caption="Models"
                columns={['Model', 'Newest', 'Versions', 'Releases below are refused']}
                rows={list.models.map((model) => ({
                  key: model.model,
                  cells: [
                    <Link key="model" href={`/models/${model.model}`} class="strong">
                      {model.model}
                    </Link>,
                    newestOf(model)?.version ?? '–',
                    plural(model.versions.length, 'version'),
                    model.floor === 0 ? '–' : String(model.floor),
                  ],
                }))}
              />
            )
          }
        </Loaded>
      </section>
    </>
  )
}

function newestOf({ versions }: Model) {
  return versions.toSorted((one, other) => other.release - one.release)[0]
}
