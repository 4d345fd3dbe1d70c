/**
 * Alternative distribution packages at App Store Connect (docs/apple-facts.md §5.1, §5.2): from an app to its versions,
 * to the package of one version, to the URLs of its files. Web distribution has no webhook for new packages; poll instead.
 */

import { z } from 'zod';
import { isPrivateTarget } from '../outbound.ts';
import { ascError } from './classify.ts';
import type { JsonApi } from './json-api.ts';
import { resourceReader } from './resources.ts';

/** One version of an app in the App Store. `createdDate` is ISO 8601, unchanged from Apple. */
export type StoreVersion = {
  readonly id: string;
  readonly versionString: string;
  readonly state: string | undefined;
  /** Whether Apple makes a package of it. */
  readonly isApproved: boolean;
  readonly createdDate: string | undefined;
};

/** A file to download without a credential. The URL expires at `expiresAt` (ISO 8601); `file` returns a new one. */
type PackageFile = {
  readonly id: string;
  readonly url: string;
  readonly expiresAt: string | undefined;
  /** MD5 or SHA-256 in lower-case hex, if Apple sends either. */
  readonly checksum: string | undefined;
};

/** One revision of a package: the zip with `manifest.json` and `signature`. */
type PackageVersion = PackageFile & { readonly version: string | undefined };

/** All throw `asc_…`. */
export interface AppPackages {
  /** Returns every version of the app for iOS and iPadOS. The ids are not AppleVersionIDs (docs/apple-facts.md §5.1). */
  storeVersions(appleItemId: string): Promise<StoreVersion[]>;
  /** Returns the id of the package of an App Store version; null if there is none (yet). */
  packageOf(storeVersionId: string): Promise<string | null>;
  /**
   * Requests the package of an approved App Store version; returns its id. Never retried. Throws `asc_conflict` if
   * there already is a package.
   */
  create(storeVersionId: string): Promise<string>;
  /** Returns the current revision; undefined while Apple is still creating it. */
  currentVersion(packageId: string): Promise<PackageVersion | undefined>;
  /** Returns all variants or all deltas of a revision. */
  files(packageVersionId: string, kind: 'variant' | 'delta'): Promise<PackageFile[]>;
  /** Returns one file, by its `publicId` in the manifest, with a fresh URL. */
  file(kind: 'variant' | 'delta', publicId: string): Promise<PackageFile>;
}

/** The states in which Apple makes a package (docs/apple-facts.md §5.1); the last one is that of `appStoreState`. */
const APPROVED = ['PENDING_DEVELOPER_RELEASE', 'PENDING_APPLE_RELEASE', 'READY_FOR_DISTRIBUTION', 'READY_FOR_SALE'];

const PACKAGES = 'alternativeDistributionPackages';
const VERSIONS = 'alternativeDistributionPackageVersions';
const resourceOf = {
  variant: 'alternativeDistributionPackageVariants',
  delta: 'alternativeDistributionPackageDeltas',
} as const;

const text = z.string().nullish();
const identified = (type: string) => z.object({ type: z.literal(type), id: z.string().min(1) });
const storeVersion = identified('appStoreVersions').extend({
  attributes: z.object({
    versionString: z.string(),
    appVersionState: text,
    appStoreState: text,
    createdDate: text,
    platform: text,
  }),
});
/** A digest as text, or as an object with its algorithm. Apple uses both forms since API version 4. */
const checksum = z
  .union([z.string(), z.object({ file: z.object({ hash: z.string() }) }).transform(({ file }) => file.hash)])
  .nullish()
  .catch(undefined);
const fileOf = (type: string) =>
  identified(type).extend({
    attributes: z.object({
      url: z.url({ protocol: /^https?$/ }),
      urlExpirationDate: text,
      fileChecksum: checksum,
      version: text,
      state: text,
    }),
  });
const packageReader = resourceReader(identified(PACKAGES));

/**
 * Takes the API that the client uses, and its address. A file at a private address is refused, unless the API is at one,
 * as the simulation is.
 */
export function openPackages(api: JsonApi, baseUrl: string): AppPackages {
  const checked = async <T extends PackageFile>(file: T): Promise<T> => {
    if ((await isPrivateTarget(file.url)) && !(await isPrivateTarget(baseUrl)))
      throw ascError('asc_outage', 'App Store Connect named a file at a private address.');
    return file;
  };
  return {
    async storeVersions(appleItemId) {
      const read = await api.list(resourceReader(storeVersion), ['apps', appleItemId, 'appStoreVersions'], {
        'filter[platform]': 'IOS',
      });
      return read.map(({ id, attributes: { versionString, appVersionState, appStoreState, createdDate } }) => ({
        id,
        versionString,
        state: appVersionState ?? appStoreState ?? undefined,
        isApproved: APPROVED.includes(appVersionState ?? appStoreState ?? ''),
        createdDate: createdDate ?? undefined,
      }));
    },
    async packageOf(storeVersionId) {
      const path = ['appStoreVersions', storeVersionId, 'alternativeDistributionPackage'];
      return (await api.read(packageReader, path))?.id ?? null;
    },
    async create(storeVersionId) {
      const relationships = { appStoreVersion: { data: { type: 'appStoreVersions', id: storeVersionId } } };
      return (await api.add(packageReader, PACKAGES, { relationships })).id;
    },
    async currentVersion(packageId) {
      const path = [PACKAGES, packageId, 'versions'];
      const versions = await api.list(resourceReader(fileOf(VERSIONS)), path, { 'filter[state]': 'COMPLETED' });
      const newest = versions.toSorted((a, b) => Number(a.attributes.version) - Number(b.attributes.version)).at(-1);
      return newest && checked({ ...fileFrom(newest), version: newest.attributes.version ?? undefined });
    },
    async files(packageVersionId, kind) {
      const path = [VERSIONS, packageVersionId, kind === 'variant' ? 'variants' : 'deltas'];
      return (await api.list(resourceReader(fileOf(resourceOf[kind])), path, {})).map(fileFrom);
    },
    async file(kind, publicId) {
      const found = await api.read(resourceReader(fileOf(resourceOf[kind])), [resourceOf[kind], publicId]);
      if (found === null) throw ascError('asc_not_found', `App Store Connect has no ${kind} ${publicId}.`);
      return checked(fileFrom(found));
    },
  };
}

function fileFrom({
  id,
  attributes: { url, urlExpirationDate, fileChecksum },
}: z.output<ReturnType<typeof fileOf>>): PackageFile {
  const digest = fileChecksum?.toLowerCase();
  const isKnown = digest !== undefined && /^([0-9a-f]{32}|[0-9a-f]{64})$/.test(digest);
  return { id, url, expiresAt: urlExpirationDate ?? undefined, checksum: isKnown ? digest : undefined };
}
