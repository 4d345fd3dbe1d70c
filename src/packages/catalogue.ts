/**
 * Which versions of the apps there are packages of: from the manifest at each app's package URL, and from the folder of
 * `webdist packages pull` when the website serves that. Looks again every few minutes; nobody waits for it. Must not
 * know who uses it.
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
import type { AppVersion } from './versions.ts';

type App = {
  readonly appleItemId: string;
  readonly bundleId: string;
  readonly packageUrl?: string | undefined;
  readonly packageManifest?: string | undefined;
};

export interface Catalogue {
  /** By AppleItemID, for those apps that have a package URL. */
  readonly manifests: ReadonlyMap<string, PackageManifest>;
  /** Every version there is a package of, in no order. */
  versionsOf(app: App): readonly AppVersion[];
  /** The version that links install, as far as it is known. */
  currentOf(app: App): AppVersion | undefined;
  /** Its AppleVersionID, which is known also of an app without a package URL. */
  currentIdOf(app: App): string | undefined;
  /** Looks again; never throws. */
  refresh(): Promise<void>;
  close(): void;
}

export type CatalogueOptions = {
  readonly apps: readonly App[];
  /** The packages folder, and the address under which the website serves it; without one it is not looked at. */
  readonly folder: { readonly dir: string; readonly url: string | undefined };
  readonly log: Logger;
};

const AGAIN_SECONDS = 60;

/** Opens the catalogue; it knows nothing before the first `refresh`. */
export function openCatalogue({ apps, folder: { dir, url }, log }: CatalogueOptions): Catalogue {
  const manifests = new Map<string, PackageManifest>();
  const pulled = new Map<string, { versions: readonly AppVersion[]; current: string | undefined }>();
  for (const app of apps) {
    const manifestUrl = manifestUrlOf(app);
    if (manifestUrl) manifests.set(app.appleItemId, watchManifest({ app, url: manifestUrl, log }));
  }
  const lookIntoFolder = async (app: App) => {
    if (url === undefined) return;
    try {
      const versions = await readVersions(dir, url, app, log);
      pulled.set(app.appleItemId, { versions, current: await currentIn(dir, app.appleItemId) });
    } catch (err) {
      log.warn({ event: 'packages_unreadable', bundleId: app.bundleId, err }, 'the packages folder cannot be read');
    }
  };
  const lookIntoFolders = async () => void (await Promise.all(apps.map(lookIntoFolder)));
  const timer = url === undefined ? undefined : setInterval(lookIntoFolders, AGAIN_SECONDS * 1000).unref();
  const linkedOf = (app: App): AppVersion | undefined => {
    const summary = manifests.get(app.appleItemId)?.summary;
    return summary && app.packageUrl ? versionFrom(summary, packageBase(app.packageUrl)) : undefined;
  };
  const currentOf = (app: App) => {
    const own = pulled.get(app.appleItemId);
    return own?.versions.find(({ appleVersionId }) => appleVersionId === own.current) ?? linkedOf(app);
  };
  return {
    manifests,
    versionsOf(app) {
      const versions = pulled.get(app.appleItemId)?.versions ?? [];
      const linked = linkedOf(app);
      const isPulled = versions.some(({ appleVersionId }) => appleVersionId === linked?.appleVersionId);
      return linked && !isPulled ? [...versions, linked] : versions;
    },
    currentOf,
    currentIdOf: (app) => currentOf(app)?.appleVersionId ?? manifests.get(app.appleItemId)?.appleVersionId,
    async refresh() {
      await Promise.all([lookIntoFolders(), ...[...manifests.values()].map((watched) => watched.refresh())]);
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
      // Being removed just now, or spoilt: either way it is not given out.
      log.warn(
        { event: 'manifest_unusable', bundleId: app.bundleId, appleVersionId: id, err },
        'a version is left out',
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
