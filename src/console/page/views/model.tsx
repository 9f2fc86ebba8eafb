import { bytes, plural, short } from '../format.ts'
import { Loaded, PageHead, Panel } from '../parts/page.tsx'
import { Status } from '../parts/status.tsx'
import { Table } from '../parts/table.tsx'
import { useResource } from '../resource.ts'
import type { Model } from '../types.ts'

interface Tensor {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[] | null
}

interface VersionFacts {
  readonly version: string
  readonly release: number
  readonly manifest: string
  readonly publishers: readonly string[]
  readonly has_golden: boolean
  readonly variants: readonly {
    readonly name: string
    readonly hardware: readonly string[]
    readonly providers: readonly string[]
    readonly bytes: number
    readonly files: number
  }[]
  readonly signature: { readonly inputs: readonly Tensor[]; readonly outputs: readonly Tensor[] }
  readonly results: readonly {
    readonly hardware_class: string
    readonly proven: number
    readonly failed: readonly { readonly code: string; readonly devices: number }[]
  }[]
}

/** A model, and each of its versions: what it is made of, who has signed it, and how it does where. */
export function ModelView({ name }: { readonly name: string }) {
  const model = useResource<Model>(`/v1/models/${name}`, { kinds: ['model'] })
  return (
    <>
      <PageHead
        title={name}
        note={model.value === undefined ? '' : plural(model.value.versions.length, 'version')}
      />
      <Loaded from={model}>
        {({ versions, floor }) =>
          versions
            .toSorted((one, other) => other.release - one.release)
            .map(({ version, release }) => (
              <VersionPanel key={version} name={name} version={version} isRefused={release < floor} />
            ))
        }
      </Loaded>
    </>
  )
}

function VersionPanel(props: {
  readonly name: string
  readonly version: string
  readonly isRefused: boolean
}) {
  const facts = useResource<VersionFacts>(`/v1/models/${props.name}/${encodeURIComponent(props.version)}`, {
    kinds: ['model', 'device'],
  })
  return (
    <Panel
      title={`Version ${props.version}`}
      note={props.isRefused ? 'Below the floor: no device takes it' : undefined}
    >
      <Loaded from={facts}>
        {(version) => (
          <>
            <dl class="facts">
              <Fact name="Release">{String(version.release)}</Fact>
              <Fact name="Manifest">
                <code title={version.manifest}>{short(version.manifest)}</code>
              </Fact>
              <Fact name="Signed by">
                <code title={version.publishers.join(', ')}>{version.publishers.map(short).join(', ')}</code>
              </Fact>
              <Fact name="Golden samples">{version.has_golden ? 'checked on every device' : 'none'}</Fact>
              <Fact name="Takes">{version.signature.inputs.map(tell).join(', ')}</Fact>
              <Fact name="Gives">{version.signature.outputs.map(tell).join(', ')}</Fact>
            </dl>
            <Variants version={version} />
            <Results version={version} />
          </>
        )}
      </Loaded>
    </Panel>
  )
}

function Fact({ name, children }: { readonly name: string; readonly children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

function tell({ name, datatype, shape }: Tensor): string {
  return `${name} ${datatype}${shape === null ? '' : `[${shape.map((size) => (size < 0 ? '?' : size)).join(', ')}]`}`
}

function Variants({ version }: { readonly version: VersionFacts }) {
  return (
    <Table
      caption={`Variants of version ${version.version}`}
      columns={['Variant', 'Hardware', 'Providers', 'Size']}
      rows={version.variants.map((variant) => ({
        key: variant.name,
        cells: [
          <b key="name">{variant.name}</b>,
          variant.hardware.join(', '),
          variant.providers.join(', '),
          `${bytes(variant.bytes)} in ${plural(variant.files, 'file')}`,
        ],
      }))}
    />
  )
}

/** A device checks the golden samples before it switches: what runs it has passed them. */
function Results({ version }: { readonly version: VersionFacts }) {
  if (version.results.length === 0) return <p class="empty">No device has tried it yet.</p>
  return (
    <Table
      caption={`How version ${version.version} does, by class of hardware`}
      columns={['Hardware', 'Passed and runs', 'Refused']}
      rows={version.results.map((result) => ({
        key: result.hardware_class,
        cells: [
          <b key="hardware">{result.hardware_class}</b>,
          <Status key="proven" tone={result.proven > 0 ? 'good' : 'quiet'}>
            {plural(result.proven, 'device')}
          </Status>,
          result.failed.length === 0 ? (
            '–'
          ) : (
            <span key="failed" class="stack-tight">
              {result.failed.map(({ code, devices }) => (
                <Status key={code} tone="bad">
                  {`${code}: ${plural(devices, 'device')}`}
                </Status>
              ))}
            </span>
          ),
        ],
      }))}
    />
  )
}
