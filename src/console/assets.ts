/**
 * The console's files. This module is what runs from a checkout, where they are made when they are asked for;
 * `scripts/build.ts` puts in its place one that has them inside.
 */
import { type Asset, bundlePage } from './bundle.ts'

export async function consoleAssets(): Promise<readonly Asset[]> {
  return await bundlePage()
}
