/**
 * `webdist packages`: alternative distribution packages from App Store Connect to the folder a website serves
 * (docs/packages.md).
 */

import { join } from 'node:path';
import type { AppStoreConnect } from '../app-store-connect/client.ts';
import type { StoreVersion } from '../app-store-connect/packages.ts';
import { type AppConfig, readKnownApps, readPackagesSettings } from '../config.ts';
import { WebdistError } from '../errors.ts';
import { currentIn, versionFolder, versionsIn } from '../packages/layout.ts';
import { type Asset, readManifestFile } from '../packages/manifest.ts';
import { type PackageSource, pullPackage } from '../packages/pull.ts';
import { verifyPackage } from '../packages/verify.ts';
import { compareDotted } from '../packages/versions.ts';
import { withAppStoreConnect } from './apple.ts';
import { type JsonOption, print, resultWord, table } from './terminal.ts';

function appsOf(name: string | undefined): readonly AppConfig[] {
  const { apps } = readKnownApps();
  const chosen = apps.filter((app) => name === undefined || app.bundleId === name || app.appleItemId === name);
  if (chosen.length > 0) return chosen;
  throw new WebdistError('usage_invalid', name ? `The settings have no app "${name}".` : 'The settings name no app.', {
    mend: 'Set WEBDIST_APPLE_ITEM_ID and WEBDIST_BUNDLE_ID, or WEBDIST_CONFIG.',
  });
}

export async function list({ app: name, json }: JsonOption & { readonly app?: string }): Promise<void> {
  const { dir } = readPackagesSettings();
  const rows = await withAppStoreConnect('Asking for versions', async (asc) => {
    const found = [];
    for (const app of appsOf(name)) {
      const local = await localVersions(dir, app.appleItemId);
      for (const version of newestFirst(await asc.packages.storeVersions(app.appleItemId))) {
        const packageId = await asc.packages.packageOf(version.id);
        const here = local.find(({ shortVersionString }) => shortVersionString === version.versionString);
        found.push({
          app: app.bundleId,
          version: version.versionString,
          state: version.state ?? null,
          hasPackage: packageId !== null,
          appleVersionId: here?.appleVersionId ?? null,
          isHere: here !== undefined,
          isCurrent: here?.isCurrent ?? false,
        });
      }
    }
    return found;
  });
  const lines = rows.map((row) => [
    row.app,
    row.version,
    row.state ?? '',
    row.hasPackage ? 'yes' : 'no',
    row.isCurrent ? 'current' : row.isHere ? 'yes' : 'no',
    row.appleVersionId ?? '',
  ]);
  print(rows, json, table(['app', 'version', 'state', 'package', 'here', 'AppleVersionID'], lines));
}

async function localVersions(dir: string, appleItemId: string) {
  const current = await currentIn(dir, appleItemId);
  const ids = await versionsIn(dir, appleItemId);
  return Promise.all(
    ids.map(async (appleVersionId) => {
      const manifest = await readManifestFile(join(versionFolder(dir, appleItemId, appleVersionId), 'manifest.json'));
      return {
        appleVersionId,
        shortVersionString: manifest.shortVersionString,
        isCurrent: appleVersionId === current,
      };
    }),
  );
}

const newestFirst = (versions: readonly StoreVersion[]) =>
  versions.toSorted((a, b) => compareDotted(b.versionString, a.versionString));

type PullOptions = JsonOption & { readonly app?: string; readonly release?: string };

export async function pull({ app: name, release, json }: PullOptions): Promise<void> {
  const { dir, keep } = readPackagesSettings();
  const results: object[] = [];
  const lines: string[] = [];
  for (const app of appsOf(name)) {
    const pulled = await withAppStoreConnect('Asking for the package', async (asc) => {
      const source = await sourceOf(asc, app, release);
      return pullPackage({ dir, app, source, keep, onFile: showProgress });
    });
    endProgress();
    results.push({ app: app.bundleId, ...pulled });
    lines.push(
      `${app.bundleId}  ${pulled.appleVersionId}  ${pulled.isNew ? 'pulled and checked' : 'was here already'}` +
        `${pulled.isCurrent ? ', current' : ''}${pulled.removed.length > 0 ? `; removed ${pulled.removed.join(', ')}` : ''}`,
    );
  }
  print(results, json, lines);
}

/** Where a package's files are now. Addresses end, so they are asked for when a file is wanted and again when refused. */
async function sourceOf(asc: AppStoreConnect, app: AppConfig, wanted: string | undefined): Promise<PackageSource> {
  const { packages } = asc;
  const all = newestFirst(await packages.storeVersions(app.appleItemId));
  for (const version of all.filter(({ versionString }) => wanted === undefined || versionString === wanted)) {
    const packageId = await packages.packageOf(version.id);
    const current = packageId === null ? undefined : await packages.currentVersion(packageId);
    if (packageId === null || !current) continue;
    return {
      archive: async () => (await packages.currentVersion(packageId)) ?? current,
      asset: ({ kind, publicId }) => packages.file(kind, publicId),
    };
  }
  throw new WebdistError(
    'asc_not_found',
    `App Store Connect has no finished package of ${app.bundleId}${wanted ? ` ${wanted}` : ''}.`,
    { mend: 'Apple makes one once a version is approved for web distribution; run this again later.' },
  );
}

/** One line on a terminal, redrawn; nothing where nobody watches. */
function showProgress({ path }: Asset, bytes: number, total: number | undefined): void {
  if (!process.stderr.isTTY) return;
  const share = total ? Math.floor((bytes / total) * 20) : 0;
  const bar = total ? `[${'#'.repeat(share)}${'.'.repeat(20 - share)}] ${Math.floor((bytes / total) * 100)} %` : '';
  process.stderr.write(`\r\u001b[2K${path.slice(0, 48)}  ${bar} ${(bytes / 1e6).toFixed(1)} MB`);
}

function endProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[2K');
}

export async function verify(folder: string | undefined, { json }: JsonOption): Promise<void> {
  const folders = folder === undefined ? await everyPackage() : [folder];
  if (folders.length === 0)
    throw new WebdistError('state_invalid', 'There is no package to check.', { mend: 'Run webdist packages pull.' });
  const results = [];
  for (const path of folders) results.push({ folder: path, ...(await verifyPackage(path)) });
  const data = results.map(({ folder: path, manifest, files, bytes, problems }) => ({
    folder: path,
    appleVersionId: manifest?.appleVersionId ?? null,
    files,
    bytes,
    problems,
  }));
  print(
    data,
    json,
    data.flatMap(({ folder: path, files, bytes, problems }) => [
      `${resultWord(problems.length === 0 ? 'ok' : 'fail')}  ${path}  ${files} files, ${bytes} bytes`,
      ...problems.map((problem) => `      ${problem.kind.padEnd(7)}  ${problem.path}: ${problem.detail}`),
    ]),
  );
  if (data.some(({ problems }) => problems.length > 0))
    throw new WebdistError('package_invalid', 'A package is not what it should be; see above.', {
      mend: 'Delete that version and run webdist packages pull.',
    });
}

async function everyPackage(): Promise<string[]> {
  const { dir } = readPackagesSettings();
  const found = await Promise.all(
    appsOf(undefined).map(async ({ appleItemId }) =>
      (await versionsIn(dir, appleItemId)).map((id) => versionFolder(dir, appleItemId, id)),
    ),
  );
  return found.flat();
}

export async function serve({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  const { buildPackageServer } = await import('../packages/serve.ts');
  const { dir } = readPackagesSettings();
  const server = await buildPackageServer(dir);
  const address = await server.listen({ host, port }).catch((cause) => {
    throw new WebdistError('config_invalid', `Cannot listen on ${host} port ${port} (${cause.code}).`, { cause });
  });
  process.stderr.write(`Packages of ${dir} are served on ${address}; put your https in front of it.\n`);
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => void server.close().then(() => process.exit(0)));
}
