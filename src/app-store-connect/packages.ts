/**
 * Alternative distribution packages at App Store Connect (docs/apple-facts.md §5.1, §5.2): from an app to its
 * versions, to the package of one, to the addresses its files can be fetched from. Web apps get no webhook, so whoever
 * wants to know asks.
 */

import { z } from 'zod';
import { ascError } from './classify.ts';
import type { JsonApi } from './json-api.ts';
import type { Reader } from './resources.ts';

/** One version of an app as the App Store knows it. `createdDate` is ISO 8601 as Apple wrote it. */
export type StoreVersion = {
  readonly id: string;
  readonly versionString: string;
  readonly state: string | undefined;
  readonly createdDate: string | undefined;
};

/** A file to fetch. The address ends at `expiresAt` (ISO 8601) and is asked for anew then; no credential goes there. */
type PackageFile = {
  readonly id: string;
  readonly url: string;
  readonly expiresAt: string | undefined;
  /** Lower-case hex of MD5 or SHA-256, when Apple gives one of those. */
  readonly checksum: string | undefined;
};

/** One revision of a package: the zip with `manifest.json` and `signature`. */
type PackageVersion = PackageFile & { readonly version: string | undefined };

/** All throw `asc_…`. */
export interface AppPackages {
  /**
   * Every version of the app for iOS and iPadOS. [inferred]: `GET /v1/apps/{id}/appStoreVersions` and its attributes are
   * in none of the Apple pages this was written from; nothing else here depends on them.
   */
  storeVersions(appleItemId: string): Promise<StoreVersion[]>;
  /** Id of the package of an App Store version; null when there is none (yet). */
  packageOf(storeVersionId: string): Promise<string | null>;
  /** Asks for the package of an approved App Store version, and gives its id. Never repeated by itself; `asc_conflict` when there is one. */
  create(storeVersionId: string): Promise<string>;
  /** The revision that is given out now; undefined while Apple is still making it. */
  currentVersion(packageId: string): Promise<PackageVersion | undefined>;
  /** The files of one kind of a revision. */
  files(packageVersionId: string, kind: 'variant' | 'delta'): Promise<PackageFile[]>;
  /** One file, by the `publicId` of the manifest, with a fresh address. */
  file(kind: 'variant' | 'delta', publicId: string): Promise<PackageFile>;
}

const PACKAGES = 'alternativeDistributionPackages';
const VERSIONS = 'alternativeDistributionPackageVersions';
const resourceOf = {
  variant: 'alternativeDistributionPackageVariants',
  delta: 'alternativeDistributionPackageDeltas',
} as const;

const text = z.string().nullish();
const identified = z.object({ id: z.string().min(1) });
const storeVersion = identified.extend({
  attributes: z.object({
    versionString: z.string(),
    appVersionState: text,
    appStoreState: text,
    createdDate: text,
    platform: text,
  }),
});
/** A digest as text, or as an object with its algorithm, as Apple writes others since 4.x. */
const checksum = z
  .union([z.string(), z.object({ file: z.object({ hash: z.string() }) }).transform(({ file }) => file.hash)])
  .nullish()
  .catch(undefined);
const file = identified.extend({
  attributes: z.object({
    url: z.string(),
    urlExpirationDate: text,
    fileChecksum: checksum,
    version: text,
    state: text,
  }),
});

/** Takes the API the client is opened on. */
export function openPackages(api: JsonApi): AppPackages {
  return {
    async storeVersions(appleItemId) {
      const read = await api.list(reader(storeVersion), ['apps', appleItemId, 'appStoreVersions'], {
        'filter[platform]': 'IOS',
      });
      return read.map(({ id, attributes: { versionString, appVersionState, appStoreState, createdDate } }) => ({
        id,
        versionString,
        state: appVersionState ?? appStoreState ?? undefined,
        createdDate: createdDate ?? undefined,
      }));
    },
    async packageOf(storeVersionId) {
      const path = ['appStoreVersions', storeVersionId, 'alternativeDistributionPackage'];
      return (await api.read(reader(identified), path))?.id ?? null;
    },
    async create(storeVersionId) {
      const relationships = { appStoreVersion: { data: { type: 'appStoreVersions', id: storeVersionId } } };
      return (await api.add(reader(identified), PACKAGES, { relationships })).id;
    },
    async currentVersion(packageId) {
      const path = [PACKAGES, packageId, 'versions'];
      const versions = await api.list(reader(file), path, { 'filter[state]': 'COMPLETED' });
      const newest = versions.toSorted((a, b) => Number(a.attributes.version) - Number(b.attributes.version)).at(-1);
      return newest && { ...fileFrom(newest), version: newest.attributes.version ?? undefined };
    },
    async files(packageVersionId, kind) {
      const path = [VERSIONS, packageVersionId, kind === 'variant' ? 'variants' : 'deltas'];
      return (await api.list(reader(file), path, {})).map(fileFrom);
    },
    async file(kind, publicId) {
      const found = await api.read(reader(file), [resourceOf[kind], publicId]);
      if (found === null) throw ascError('asc_not_found', `App Store Connect has no ${kind} ${publicId}.`);
      return fileFrom(found);
    },
  };
}

function fileFrom({ id, attributes: { url, urlExpirationDate, fileChecksum } }: z.output<typeof file>): PackageFile {
  const digest = fileChecksum?.toLowerCase();
  const isKnown = digest !== undefined && /^([0-9a-f]{32}|[0-9a-f]{64})$/.test(digest);
  return { id, url, expiresAt: urlExpirationDate ?? undefined, checksum: isKnown ? digest : undefined };
}

const reader =
  <T>(schema: z.ZodType<T>): Reader<T> =>
  (resource, where) => {
    const parsed = schema.safeParse(resource);
    if (parsed.success) return parsed.data;
    const members = parsed.error.issues.map((issue) => issue.path.join('.') || 'the whole').slice(0, 3);
    throw ascError('asc_outage', `${where}: the answer is not what the API describes, at ${members.join(', ')}.`);
  };
