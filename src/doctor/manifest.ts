/** The members of a package's `manifest.json` that the checks examine (docs/apple-facts.md §5.3). */

import { z } from 'zod';

const hashes = z.object({ chunkSize: z.int().positive(), encryptedChunkDigests: z.array(z.string()) });
const details = z.object({ hashes: z.array(hashes) }).catch({ hashes: [] });

const manifest = z.object({
  appleItemId: z.unknown(),
  bundleId: z.unknown(),
  appleVersionId: z.unknown(),
  platforms: z.array(z.string()).catch([]),
  minimumSystemVersions: z.record(z.string(), z.string()).catch({}),
  variants: z.array(z.object({ publicId: z.string(), assetPath: z.string(), variantDetails: details })).catch([]),
});

export type ManifestMembers = z.output<typeof manifest>;

/**
 * Returns undefined if the text is not a manifest. Accepts wrong members, so that each is reported by its own check.
 */
export function parseManifest(text: string): ManifestMembers | undefined {
  try {
    return manifest.safeParse(JSON.parse(text)).data;
  } catch {
    // Not JSON; the check `package-manifest` reports that.
    return undefined;
  }
}
