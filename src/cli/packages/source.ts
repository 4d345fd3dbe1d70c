/**
 * Which package of an app is to be pulled, and where its files are now. Asks App Store Connect to make a package where
 * an approved version has none (docs/apple-facts.md §5.1: read first, create if missing).
 */

import type { AppStoreConnect } from '../../app-store-connect/client.ts';
import type { AppPackages, StoreVersion } from '../../app-store-connect/packages.ts';
import { type ErrorCode, hasCode, isWebdistError, WebdistError } from '../../errors.ts';
import type { PackageSource } from '../../packages/pull.ts';
import { compareDotted } from '../../packages/versions.ts';
import { say } from '../terminal.ts';

export type Wanted = {
  readonly app: { readonly appleItemId: string; readonly bundleId: string };
  /** This version, such as `1.4.0`, instead of the newest one. */
  readonly release?: string | undefined;
  /** This version by its id at App Store Connect; versions are not listed then. */
  readonly versionId?: string | undefined;
  /** Whether a missing package may be asked for. */
  readonly mayCreate: boolean;
};

/** What "approved" is in the API; Apple's page has the names a person sees. [inferred] */
const APPROVED = ['PENDING_DEVELOPER_RELEASE', 'PENDING_APPLE_RELEASE', 'READY_FOR_DISTRIBUTION', 'READY_FOR_SALE'];

/** Addresses end, so they are asked for when a file is wanted and again when refused. Throws `asc_…`. */
export async function packageSource({ packages }: AppStoreConnect, wanted: Wanted): Promise<PackageSource> {
  const { app, release, versionId } = wanted;
  let { mayCreate } = wanted;
  for (const version of await candidates(packages, wanted)) {
    let packageId = await packages.packageOf(version.id);
    // Only the newest one: older versions without a package are nobody's wish.
    if (packageId === null && mayCreate && (versionId !== undefined || APPROVED.includes(version.state ?? ''))) {
      mayCreate = false;
      packageId = await ensurePackage(packages, version);
    }
    const id = packageId;
    const current = id === null ? undefined : await packages.currentVersion(id);
    if (id === null || !current) continue;
    return {
      archive: async () => (await packages.currentVersion(id)) ?? current,
      asset: ({ kind, publicId }) => packages.file(kind, publicId),
    };
  }
  throw new WebdistError(
    'asc_not_found',
    `App Store Connect has no finished package of ${app.bundleId}${release ? ` ${release}` : ''}.`,
    { hint: 'Apple makes one once a version is approved for web distribution; run this again later.' },
  );
}

/** Every version of the app, newest first. Throws `asc_…`, with a way around where it is this path that is refused. */
export async function storeVersions(packages: AppPackages, appleItemId: string): Promise<StoreVersion[]> {
  const refusals: readonly ErrorCode[] = ['asc_not_found', 'asc_role', 'asc_refused'];
  try {
    const versions = await packages.storeVersions(appleItemId);
    return versions.toSorted((a, b) => compareDotted(b.versionString, a.versionString));
  } catch (error) {
    if (!isWebdistError(error) || !refusals.includes(error.code)) throw error;
    throw new WebdistError(error.code, `The versions cannot be listed. ${error.detail}`, {
      hint: 'Check that the API key may see this app, or name the version: webdist packages pull --version-id ID.',
      cause: error,
    });
  }
}

async function candidates(packages: AppPackages, { app, release, versionId }: Wanted) {
  if (versionId !== undefined) return [{ id: versionId, versionString: versionId, state: undefined }];
  const all = await storeVersions(packages, app.appleItemId);
  return all.filter(({ versionString }) => release === undefined || versionString === release);
}

/** Gives the package's id, or null when it cannot be made: an older version may have one then. */
async function ensurePackage(
  packages: AppPackages,
  { id, versionString }: Pick<StoreVersion, 'id' | 'versionString'>,
): Promise<string | null> {
  try {
    const packageId = await packages.create(id);
    say(`App Store Connect was asked to make the package of ${versionString}; this takes Apple a while.`);
    return packageId;
  } catch (error) {
    // Somebody else was first, or the answer got lost.
    const made = hasCode(error, 'asc_conflict', 'asc_outage') ? await packages.packageOf(id) : null;
    if (made !== null) return made;
    if (!isWebdistError(error)) throw error;
    say(`App Store Connect makes no package of ${versionString}: ${error.message}`);
    return null;
  }
}
