/**
 * Fetches and checks the parts of a package that the simulated device needs: manifest, signature, the variant for this
 * device, and the digest of every chunk (docs/apple-facts.md §5.3, §5.4, §10 lines 32 and 33).
 */

import { createHash } from 'node:crypto';
import { z } from 'zod';
import { packageSignature } from '../package-signature.ts';
import { refusal } from './journey.ts';
import { type DeviceProfile, isOlder } from './profile.ts';
import type { WebsiteClient } from './website-client.ts';

const hashes = z.object({
  algorithm: z.literal('sha256'),
  chunkSize: z.int().positive(),
  encryptedChunkDigests: z.array(z.string()).min(1),
});
const manifestSchema = z.object({
  appleItemId: z.string(),
  appleVersionId: z.string(),
  bundleId: z.string(),
  platforms: z.array(z.string()),
  minimumSystemVersions: z.record(z.string(), z.string()),
  requiredDeviceCapabilities: z.array(z.string()),
  variants: z.array(
    z.object({
      assetPath: z.string(),
      installTargets: z.array(z.object({ device: z.string(), os: z.string() })),
      variantDetails: z.object({ hashes: z.tuple([hashes]) }),
    }),
  ),
});
type Manifest = z.output<typeof manifestSchema>;

type Entry = {
  readonly appleItemId: string;
  readonly appleVersionId: string;
  readonly alternativeDistributionPackage: string;
};

/** The claims that are compared with the manifest. */
export type ComparedClaims = { readonly bid?: unknown; readonly iid?: unknown; readonly vid?: unknown };

/** Fetches and checks the parts of a package that the device needs; returns a summary. Throws a refusal. */
export async function fetchPackage(site: WebsiteClient, entry: Entry, profile: DeviceProfile, claims: ComparedClaims) {
  const base = entry.alternativeDistributionPackage.replace(/\/$/, '');
  const bytesAt = async (path: string) => Buffer.from(await (await site.get(`${base}/${path}`, 32)).arrayBuffer());
  const manifestBytes = await bytesAt('manifest.json');
  const manifest = manifestIn(manifestBytes, base);
  if (manifest.appleItemId !== entry.appleItemId || manifest.appleVersionId !== entry.appleVersionId)
    throw refusal(
      30,
      'invalidManifest',
      `the manifest is for version ${manifest.appleVersionId}, the answer for ${entry.appleVersionId}`,
    );
  compareClaims(claims, manifest);
  const variant = variantFor(manifest, profile);
  if (!(await bytesAt('signature')).equals(packageSignature(manifestBytes)))
    throw refusal(
      32,
      'invalidAlternativeDistributionPackageSignature',
      `${base}/signature is not the signature of ${base}/manifest.json; serve both byte for byte as downloaded`,
    );
  const bytes = await bytesAt(variant.assetPath);
  checkChunks(bytes, variant, `${base}/${variant.assetPath}`);
  return `version ${manifest.appleVersionId}, ${bytes.length} bytes for ${profile.model}, every chunk matches the manifest`;
}

function manifestIn(bytes: Buffer, base: string): Manifest {
  let content: unknown;
  try {
    content = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw refusal(32, 'invalidManifest', `${base}/manifest.json is not JSON`);
  }
  const parsed = manifestSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  const why = z.prettifyError(parsed.error).replace(/\s*\n\s*/g, ' ');
  throw refusal(32, 'invalidManifest', `${base}/manifest.json: ${why}`);
}

/** `bid`, `iid` and `vid` must be those of the manifest that is served (docs/apple-facts.md §10 lines 14, 22, 23). */
export function compareClaims(
  { bid, iid, vid }: ComparedClaims,
  manifest: { readonly bundleId: string; readonly appleItemId: string; readonly appleVersionId: string },
): void {
  const compared = [
    [14, 'bid', bid, manifest.bundleId],
    [22, 'iid', iid ?? manifest.appleItemId, manifest.appleItemId],
    [23, 'vid', vid ?? manifest.appleVersionId, manifest.appleVersionId],
  ] as const;
  for (const [line, name, claim, expected] of compared)
    if (claim !== expected)
      throw refusal(line, 'token-invalid', `${name} is ${claim}, in the manifest that is served it is ${expected}`);
}

function variantFor(manifest: Manifest, { platform, osVersion, model, capabilities }: DeviceProfile) {
  const names = platform === 'iPadOS' ? ['ipados', 'ios'] : ['ios'];
  const name = names.find((one) => manifest.platforms.includes(one));
  if (!name)
    throw refusal(33, 'unsupportedPlatform', `the app is for ${manifest.platforms.join(', ')}, not for ${platform}`);
  const minimum = manifest.minimumSystemVersions[name] ?? '0';
  if (isOlder(osVersion, minimum))
    throw refusal(33, 'minimumPlatformVersionNotSatisfied', `the app needs ${minimum}, this device has ${osVersion}`);
  const lacking = manifest.requiredDeviceCapabilities.filter((one) => !capabilities.includes(one));
  if (lacking.length > 0) throw refusal(33, 'missingCapabilities', `this device lacks ${lacking.join(', ')}`);
  const variant = manifest.variants.find(({ installTargets }) =>
    installTargets.some(({ device, os }) => device === model && !isOlder(osVersion, os)),
  );
  if (!variant) throw refusal(33, 'noSupportedVariant', `the package has no variant for ${model} with ${osVersion}`);
  const useless = manifest.variants.find(({ installTargets }) => installTargets.length === 0);
  if (useless) throw refusal(33, 'invalidManifest', `the variant ${useless.assetPath} is for no device`);
  return variant;
}

function checkChunks(bytes: Buffer, { variantDetails }: Manifest['variants'][number], address: string): void {
  const [{ chunkSize, encryptedChunkDigests }] = variantDetails.hashes;
  const chunks = Math.ceil(bytes.length / chunkSize);
  if (chunks !== encryptedChunkDigests.length)
    throw refusal(
      32,
      'invalidManifest',
      `${address} has ${chunks} chunks, the manifest lists ${encryptedChunkDigests.length}`,
    );
  for (const [index, digest] of encryptedChunkDigests.entries()) {
    const chunk = bytes.subarray(index * chunkSize, (index + 1) * chunkSize);
    if (createHash('sha256').update(chunk).digest('hex') !== digest)
      throw refusal(32, 'invalidManifest', `chunk ${index + 1} of ${address} does not match the manifest`);
  }
}
