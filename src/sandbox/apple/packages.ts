/**
 * The sandbox's packages (docs/apple-facts.md §5.3, §5.4): small but real files with real digests. They are generated
 * from the state on every request, so that they need not be stored.
 */

import { createHash } from 'node:crypto';
import { zipSync } from 'fflate';
import { packageSignature } from '../package-signature.ts';
import type { Package } from '../state.ts';

/** Three chunks, the last one short. */
const CHUNK_BYTES = 65_536;
const FILE_BYTES = 2 * CHUNK_BYTES + 12_345;

export type FileKind = 'variant' | 'delta';
/** A file of a package. Its bytes are generated on demand. */
export type PackagedFile = {
  readonly kind: FileKind;
  readonly publicId: string;
  readonly path: string;
  /** The device model that the file is for. */
  readonly device: string;
  readonly bytes: () => Buffer;
};

const devices = ['iPhone14,5', 'iPad14,3'];

/** Returns the UUID of a resource that belongs to a package. The same input always gives the same UUID. */
export function idOf(found: Pick<Package, 'appleItemId' | 'appleVersionId'>, what: string): string {
  const digest = createHash('sha256').update(`${found.appleItemId} ${found.appleVersionId} ${what}`).digest('hex');
  return digest.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Returns a variant for each device model, and a delta for each model if there was an earlier version. */
export function filesOf(found: Package, packages: readonly Package[]): PackagedFile[] {
  const kinds: readonly FileKind[] = packageBefore(found, packages) ? ['variant', 'delta'] : ['variant'];
  return kinds.flatMap((kind) =>
    devices.map((device) => {
      const publicId = idOf(found, `${kind} ${device}`);
      const bytes = () =>
        createHash('shake256', { outputLength: FILE_BYTES }).update(found.seed).update(publicId).digest();
      return { kind, publicId, path: `${kind}/${publicId}.ipa`, device, bytes };
    }),
  );
}

/** The content of `manifest.json`. */
function manifestOf(found: Package, packages: readonly Package[]) {
  const files = filesOf(found, packages);
  const of = (kind: FileKind) => files.filter((file) => file.kind === kind);
  const before = packageBefore(found, packages);
  return {
    distributionPackageRevision: 1,
    appleItemId: found.appleItemId,
    bundleId: found.bundleId,
    shortVersionString: found.shortVersionString,
    bundleVersion: found.bundleVersion,
    appleVersionId: found.appleVersionId,
    platforms: ['ios'],
    minimumSystemVersions: { ios: '17.5' },
    requiredDeviceCapabilities: ['arm64'],
    appInstallDeterminants: [],
    variants: of('variant').map((file) => ({
      publicId: file.publicId,
      assetPath: file.path,
      installTargets: [{ device: file.device, os: '17.5' }],
      variantDetails: detailsOf(file.bytes()),
    })),
    deltas: of('delta').map((file) => ({
      publicId: file.publicId,
      assetPath: file.path,
      sourceVariant: {
        installTargets: [{ device: file.device, os: '17.5' }],
        appleVersionId: before?.appleVersionId,
        version: before?.shortVersionString,
      },
      targetVariantAssetPath: files.find(({ kind, device }) => kind === 'variant' && device === file.device)?.path,
      deltaDetails: detailsOf(file.bytes()),
    })),
  };
}

const manifestBytes = (found: Package, packages: readonly Package[]) =>
  Buffer.from(JSON.stringify(manifestOf(found, packages), null, 2));

/** Returns one file of a package by its path on a website; undefined if there is none. */
export function fileAt(found: Package, packages: readonly Package[], path: string): Buffer | undefined {
  if (path === 'manifest.json') return manifestBytes(found, packages);
  if (path === 'signature') return packageSignature(manifestBytes(found, packages));
  return filesOf(found, packages)
    .find((file) => file.path === path)
    ?.bytes();
}

/** Returns `alternative-distribution-package.zip`, with the same bytes each time. */
export function archiveOf(found: Package, packages: readonly Package[]): Buffer {
  const entry = (path: string) => fileAt(found, packages, path) ?? Buffer.alloc(0);
  const files = { 'manifest.json': entry('manifest.json'), signature: entry('signature') };
  return Buffer.from(zipSync(files, { mtime: new Date(2026, 0, 1) }));
}

/** Returns the newest existing package of an app. */
export const newestOf = (packages: readonly Package[], appleItemId: string): Package | undefined =>
  packages.findLast((one) => one.appleItemId === appleItemId && one.isMade);

/** Returns the next release of the app. */
export function nextPackage(found: Package): Package {
  const [major = '1', minor = '0'] = found.shortVersionString.split('.');
  const bundleVersion = Number(found.bundleVersion) + 15;
  return {
    ...found,
    appleVersionId: String(BigInt(found.appleVersionId) + 15n),
    shortVersionString: `${major}.${Number(minor) + 1}.0`,
    bundleVersion: String(bundleVersion),
    seed: createHash('sha512').update(found.seed).digest('base64'),
  };
}

function packageBefore(found: Package, packages: readonly Package[]): Package | undefined {
  return packages.findLast(
    (one) =>
      one.isMade && one.appleItemId === found.appleItemId && BigInt(one.appleVersionId) < BigInt(found.appleVersionId),
  );
}

function detailsOf(bytes: Buffer) {
  const encryptedChunkDigests: string[] = [];
  for (let from = 0; from < bytes.length; from += CHUNK_BYTES)
    encryptedChunkDigests.push(
      createHash('sha256')
        .update(bytes.subarray(from, from + CHUNK_BYTES))
        .digest('hex'),
    );
  const hashes = [{ algorithm: 'sha256', chunkSize: CHUNK_BYTES, encryptedChunkDigests }];
  return { compressedSize: bytes.length, uncompressedSize: 2 * bytes.length, hashes };
}
