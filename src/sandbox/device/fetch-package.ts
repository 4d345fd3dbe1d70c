/**
 * Fetches and checks the parts of a package that the simulated device needs: manifest, signature, the variant for this
 * device, and the digest of every chunk (docs/apple-facts.md §5.3, §5.4, §10 lines 32 and 33).
 */

import { createHash } from 'node:crypto';
import { z } from 'zod';
import { refusal } from './journey.ts';
import type { WebsiteClient } from './website-client.ts';

/** Platform, system version, model and location of the device. */
export type DeviceProfile = {
  readonly platform: 'iOS' | 'iPadOS';
  readonly osVersion: string;
  readonly model: string;
  readonly capabilities: readonly string[];
  readonly isInEligibleRegion: boolean;
};

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

/** Fetches and checks the parts of a package that the device needs; returns a summary. Throws a refusal. */
export async function fetchPackage(
  site: WebsiteClient,
  entry: Entry,
  profile: DeviceProfile,
  claims: { iid?: string; vid?: string },
) {
  const base = entry.alternativeDistributionPackage.replace(/\/$/, '');
  const parsed = manifestSchema.safeParse(
    await (await site.get(`${base}/manifest.json`, 32)).json().catch(() => undefined),
  );
  if (!parsed.success)
    throw refusal(
      32,
      'invalidManifest',
      `${base}/manifest.json: ${z.prettifyError(parsed.error).replace(/\s*\n\s*/g, ' ')}`,
    );
  const manifest = parsed.data;
  if (manifest.appleItemId !== entry.appleItemId || manifest.appleVersionId !== entry.appleVersionId)
    throw refusal(
      30,
      'invalidManifest',
      `the manifest is for version ${manifest.appleVersionId}, the answer for ${entry.appleVersionId}`,
    );
  if (claims.vid !== undefined && claims.vid !== manifest.appleVersionId)
    throw refusal(
      23,
      'token-invalid',
      `vid is ${claims.vid}, the version in the manifest is ${manifest.appleVersionId}`,
    );
  const signature = Buffer.from(await (await site.get(`${base}/signature`, 32)).arrayBuffer());
  if (signature.length === 0)
    throw refusal(32, 'invalidAlternativeDistributionPackageSignature', `${base}/signature is empty`);
  const variant = variantFor(manifest, profile);
  const bytes = Buffer.from(await (await site.get(`${base}/${variant.assetPath}`, 32)).arrayBuffer());
  checkChunks(bytes, variant, `${base}/${variant.assetPath}`);
  return `version ${manifest.appleVersionId}, ${bytes.length} bytes for ${profile.model}, every chunk matches the manifest`;
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
  const variant = manifest.variants.find(({ installTargets }) => installTargets.some(({ device }) => device === model));
  if (!variant) throw refusal(33, 'noSupportedVariant', `the package has no variant for ${model}`);
  return variant;
}

function isOlder(version: string, minimum: string): boolean {
  const [own, least] = [version, minimum].map((text) => text.split('.').map(Number));
  for (const [index, part] of (least ?? []).entries()) {
    const difference = (own?.[index] ?? 0) - part;
    if (difference !== 0) return difference < 0;
  }
  return false;
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
