import { chooseVariant, type Hardware, type Manifest } from '../trust/manifest.ts'
import type { Package, TrustPort } from './ports.ts'
import type { Update } from './update.ts'

const MILLIONTH = 1e-6

/** The version as this machine takes it; refused where no variant of it runs here. */
export function createPackage(manifest: Manifest, sha256: string, hardware: Hardware): Package {
  const { model, version, release, golden } = manifest
  return {
    model,
    version,
    release,
    manifest: sha256,
    variant: chooseVariant(manifest, hardware),
    golden: golden && {
      path: golden.path,
      absolute: golden.atol_e6 * MILLIONTH,
      relative: golden.rtol_e6 * MILLIONTH,
    },
  }
}

/** What the update is about, from what `resolve` has kept; undefined where that is gone. */
export async function readPackage(
  { trust, host }: { trust: TrustPort; host: { hardware: Hardware } },
  { manifest: sha256 }: Pick<Update, 'manifest'>,
): Promise<Package | undefined> {
  const manifest = await trust.keptManifest(sha256)
  return manifest === undefined ? undefined : createPackage(manifest, sha256, host.hardware)
}

/** As the data plane knows it: without the family. */
export function servedName(model: string): string {
  return model.slice(model.lastIndexOf('/') + 1)
}
