/**
 * Lists the versions of the apps that have a package: from the manifest at each app's package URL, and from the folder
 * of `webdist packages pull` if the website serves it. The list is refreshed in the background every few minutes.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { currentIn, versionFolder, versionsIn } from './layout.ts';
import {
  type ManifestSummary,
  manifestUrlOf,
  type PackageManifest,
  packageBase,
  readSummary,
  watchManifest,
} from './manifest.ts';
import { type AppVersion, compareVersions } from './versions.ts';

type App = {
  readonly appleItemId: string;
  readonly bundleId: string;
  readonly packageUrl?: string | undefined;
  readonly packageManifest?: string | undefined;
};

/** The orders of operators for the versions of an app. */
type Offer = {
  /** The AppleVersionIDs that no device gets. */
  readonly held: readonly string[];
  /** The AppleVersionID that every device gets; undefined: the newest. */
  readonly used: string | undefined;
};

export interface Catalogue {
  /** The manifests by AppleItemID, for the apps that have a package URL. */
  readonly manifests: ReadonlyMap<string, PackageManifest>;
  /** Returns every version with a package, in no particular order. */
  versionsOf(app: App): readonly AppVersion[];
  /** Returns what operators ordered for the versions of an app. */
  offerOf(app: App): Offer;
  /**
   * Returns the version that links install, if it is known. The result is on hold only if there is no other version.
   */
  currentOf(app: App): AppVersion | undefined;
  /** Returns the AppleVersionID of that version, which can be known even for an app without a package URL. */
  currentIdOf(app: App): string | undefined;
  /** Reads the folder; never throws. */
  readFolder(): Promise<void>;
  /** Reads the manifests and the folder again; never throws. */
  refresh(): Promise<void>;
  close(): void;
}

export type CatalogueOptions = {
  readonly apps: readonly App[];
  /** The packages folder, and the URL at which the website serves it; without a URL the folder is ignored. */
  readonly folder: { readonly dir: string; readonly url: string | undefined };
  readonly offerOf: (app: App) => Offer;
  readonly log: Logger;
};

const REFRESH_SECONDS = 60;

/** Opens the catalogue; it is empty until the first `refresh`. */
export function openCatalogue({ apps, folder: { dir, url }, offerOf, log }: CatalogueOptions): Catalogue {
  const manifests = new Map<string, PackageManifest>();
  const pulled = new Map<string, { versions: readonly AppVersion[]; current: string | undefined }>();
  for (const app of apps) {
    const manifestUrl = manifestUrlOf(app);
    if (manifestUrl) manifests.set(app.appleItemId, watchManifest({ app, url: manifestUrl, log }));
  }
  const readFolder = async (app: App) => {
    if (url === undefined) return;
    try {
      const versions = await readVersions(dir, url, app, log);
      pulled.set(app.appleItemId, { versions, current: await currentIn(dir, app.appleItemId) });
    } catch (err) {
      log.warn({ event: 'packages_unreadable', bundleId: app.bundleId, err }, 'the packages folder cannot be read');
    }
  };
  const readFolders = async () => void (await Promise.all(apps.map(readFolder)));
  const timer = url === undefined ? undefined : setInterval(readFolders, REFRESH_SECONDS * 1000).unref();
  const linkedOf = (app: App): AppVersion | undefined => {
    const summary = manifests.get(app.appleItemId)?.summary;
    return summary && app.packageUrl ? versionFrom(summary, packageBase(app.packageUrl)) : undefined;
  };
  const versionsOf = (app: App) => {
    const versions = pulled.get(app.appleItemId)?.versions ?? [];
    const linked = linkedOf(app);
    const isPulled = versions.some(({ appleVersionId }) => appleVersionId === linked?.appleVersionId);
    return linked && !isPulled ? [...versions, linked] : versions;
  };
  const currentOf = (app: App) => {
    const { held, used } = offerOf(app);
    const own = pulled.get(app.appleItemId);
    const ordered = used === undefined ? undefined : versionsOf(app).find((one) => one.appleVersionId === used);
    const current = own?.versions.find(({ appleVersionId }) => appleVersionId === own.current);
    const wanted = ordered ?? current ?? linkedOf(app);
    if (!wanted || !held.includes(wanted.appleVersionId)) return wanted;
    const others = versionsOf(app).filter(({ appleVersionId }) => !held.includes(appleVersionId));
    return others.toSorted(compareVersions).at(-1) ?? wanted;
  };
  return {
    manifests,
    readFolder: readFolders,
    offerOf,
    versionsOf,
    currentOf,
    currentIdOf: (app) => currentOf(app)?.appleVersionId ?? manifests.get(app.appleItemId)?.appleVersionId,
    async refresh() {
      await Promise.all([readFolders(), ...[...manifests.values()].map((watched) => watched.refresh())]);
    },
    close() {
      clearInterval(timer);
      for (const watched of manifests.values()) watched.close();
    },
  };
}

async function readVersions(dir: string, url: string, app: App, log: Logger): Promise<AppVersion[]> {
  const ids = await versionsIn(dir, app.appleItemId);
  const read = ids.map(async (id) => {
    try {
      const text = await readFile(join(versionFolder(dir, app.appleItemId, id), 'manifest.json'), 'utf8');
      return [versionFrom(readSummary(text, app), `${url}/${app.appleItemId}/versions/${id}`)];
    } catch (err) {
      // The version was just removed, or is damaged. In both cases it is not offered.
      log.warn(
        { event: 'manifest_unusable', bundleId: app.bundleId, appleVersionId: id, err },
        'a version was skipped',
      );
      return [];
    }
  });
  return (await Promise.all(read)).flat();
}

function versionFrom(summary: ManifestSummary, packageUrl: string): AppVersion {
  const { appleVersionId, shortVersionString, bundleVersion, platforms, minimumSystemVersions } = summary;
  return { appleVersionId, shortVersionString, bundleVersion, platforms, minimumSystemVersions, packageUrl };
}
