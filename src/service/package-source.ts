/**
 * Chooses the package of an app to pull, and finds the current URLs of its files. Requests a package from App Store Connect
 * if an approved version has none (docs/apple-facts.md §5.1: read first, create if missing).
 */

import type { AppStoreConnect } from '../app-store-connect/client.ts';
import type { AppPackages, StoreVersion } from '../app-store-connect/packages.ts';
import { type ErrorCode, hasCode, isWebdistError, WebdistError } from '../errors.ts';
import type { PackageSource } from '../packages/pull.ts';
import { compareDotted } from '../packages/versions.ts';

type WantedPackage = {
  readonly app: { readonly appleItemId: string; readonly bundleId: string };
  /** Version to pull, such as `1.4.0`; default: the newest one. */
  readonly release?: string | undefined;
  /** Id at App Store Connect of the version to pull; versions are then not listed. */
  readonly versionId?: string | undefined;
  /** Whether to create a missing package. */
  readonly mayCreate: boolean;
  /** Called with a sentence about each request for a package to App Store Connect. */
  readonly report: (line: string) => void;
};

/** URLs expire. So each is requested when its file is needed, and again when a server refuses the URL. Throws `asc_…`. */
export async function packageSource(
  { packages }: Pick<AppStoreConnect, 'packages'>,
  wanted: WantedPackage,
): Promise<PackageSource> {
  const { app, release, versionId, report } = wanted;
  let { mayCreate } = wanted;
  for (const version of await candidates(packages, wanted)) {
    let packageId = await packages.packageOf(version.id);
    // Only for the newest version: older ones need no package.
    if (packageId === null && mayCreate && (versionId !== undefined || version.isApproved)) {
      mayCreate = false;
      packageId = await ensurePackage(packages, version, report);
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
    { hint: 'Apple creates one once a version is approved for web distribution. Try again later.' },
  );
}

/**
 * Every version of the app, newest first. Throws `asc_…`; if Apple refuses this request, the hint names an alternative.
 */
export async function storeVersions(packages: AppPackages, appleItemId: string): Promise<StoreVersion[]> {
  const refusals: readonly ErrorCode[] = ['asc_not_found', 'asc_role', 'asc_refused'];
  try {
    const versions = await packages.storeVersions(appleItemId);
    return versions.toSorted((a, b) => compareDotted(b.versionString, a.versionString));
  } catch (error) {
    if (!isWebdistError(error) || !refusals.includes(error.code)) throw error;
    throw new WebdistError(error.code, `The versions cannot be listed. ${error.detail}`, {
      hint: 'Check that the API key has access to this app, or give the id of the version: webdist packages pull --version-id ID.',
      cause: error,
    });
  }
}

async function candidates(packages: AppPackages, { app, release, versionId }: WantedPackage) {
  if (versionId !== undefined)
    return [{ id: versionId, versionString: versionId, state: undefined, isApproved: false }];
  const all = await storeVersions(packages, app.appleItemId);
  return all.filter(({ versionString }) => release === undefined || versionString === release);
}

/** Returns the package's id, or null if it cannot be created. In that case, an older version may have a package. */
async function ensurePackage(
  packages: AppPackages,
  { id, versionString }: Pick<StoreVersion, 'id' | 'versionString'>,
  report: WantedPackage['report'],
): Promise<string | null> {
  try {
    const packageId = await packages.create(id);
    report(`Requested the package of ${versionString} from App Store Connect. Apple needs some time to create it.`);
    return packageId;
  } catch (error) {
    // Another process created it first, or the answer was lost.
    const made = hasCode(error, 'asc_conflict', 'asc_outage') ? await packages.packageOf(id) : null;
    if (made !== null) return made;
    if (!isWebdistError(error)) throw error;
    report(`App Store Connect does not create a package of ${versionString}: ${error.message}`);
    return null;
  }
}
