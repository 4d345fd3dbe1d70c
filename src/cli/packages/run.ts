/**
 * `webdist packages`: fetches alternative distribution packages from App Store Connect into the folder that a website serves
 * (docs/packages.md).
 */

import { join } from 'node:path';
import { type AppConfig, knownAppSettings, only, packagesSettings, processSettings } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { listenError } from '../../host.ts';
import { ordersFor } from '../../orders/orders.ts';
import { currentIn, versionFolder, versionsIn } from '../../packages/layout.ts';
import { type Asset, readManifestFile } from '../../packages/manifest.ts';
import { plannedPull, pullPackage } from '../../packages/pull.ts';
import { verifyPackage } from '../../packages/verify.ts';
import { packageSource, storeVersions } from '../../service/package-source.ts';
import { withAppStoreConnect } from '../app-store-connect.ts';
import { type ChangeOptions, goesOn } from '../change.ts';
import { appNamed } from '../named-app.ts';
import { changeOrders, readOrders } from '../orders.ts';
import { type JsonOption, print, resultLine, say, table } from '../terminal.ts';

/** The configured apps, or only the one with this name. */
function appsOf(name: string | undefined): readonly AppConfig[] {
  const { apps } = knownAppSettings(processSettings());
  return name === undefined && apps.length > 1 ? apps : [appNamed(apps, name)];
}

export async function listPackages({ app: name, json }: JsonOption & { readonly app?: string }): Promise<void> {
  const { dir } = packagesSettings(processSettings());
  const rows = await withAppStoreConnect('Fetching the versions', async (asc) => {
    const found = [];
    for (const app of appsOf(name)) {
      const local = await localVersions(dir, app.appleItemId);
      for (const version of await storeVersions(asc.packages, app.appleItemId)) {
        const packageId = await asc.packages.packageOf(version.id);
        const here = local.find(({ shortVersionString }) => shortVersionString === version.versionString);
        found.push({
          app: app.bundleId,
          version: version.versionString,
          id: version.id,
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
    row.id,
    row.state ?? '',
    row.hasPackage ? 'yes' : 'no',
    row.isCurrent ? 'current' : row.isHere ? 'yes' : 'no',
    row.appleVersionId ?? '',
  ]);
  print(rows, json, table(['APP', 'VERSION', 'ID', 'STATE', 'PACKAGE', 'HERE', 'APPLEVERSIONID'], lines));
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

type PullOptions = ChangeOptions & {
  readonly app?: string;
  readonly release?: string;
  readonly versionId?: string;
  readonly stage?: boolean;
};

async function pullAll(given: PullOptions): Promise<void> {
  const { app: name, release, versionId, stage, json, dryRun } = given;
  const apps = appsOf(name);
  if (release !== undefined && versionId !== undefined)
    throw new WebdistError('usage_invalid', 'Use --release or --version-id, not both.');
  if (versionId !== undefined && apps.length > 1)
    throw new WebdistError('usage_invalid', "--version-id is the id of one app's version.", {
      hint: 'Select the app with --app.',
    });
  const { dir, keep } = packagesSettings(processSettings());
  const mayCreate = !dryRun && only(['WEBDIST_REGISTER'], processSettings()).WEBDIST_REGISTER === 'ensure';
  const planned: string[] = [];
  const results: object[] = [];
  const lines: string[] = [];
  for (const app of apps) {
    const pulled = await withAppStoreConnect('Fetching the package', async (asc, _, show) => {
      const source = await packageSource(asc, { app, release, versionId, mayCreate, report: say });
      const onFile = (asset: Asset, bytes: number, total: number | undefined) => show(progressOf(asset, bytes, total));
      const { appleItemId } = app;
      const hold = (appleVersionId: string) => changeOrders({ act: 'hold', appleItemId, appleVersionId });
      const used = dryRun ? undefined : ordersFor(await readOrders(), appleItemId).used;
      const options = { dir, app, source, keep, used, ...(stage && { stage: hold }), onFile };
      if (!dryRun) {
        await goesOn({ action: `pull packages of ${app.bundleId}` }, given);
        return pullPackage(options);
      }
      const { appleVersionId, isNew } = await plannedPull(options);
      const fetch = stage ? 'fetch and hold' : 'fetch';
      planned.push(`${isNew ? fetch : 'keep'} version ${appleVersionId} of ${app.bundleId}`);
      return undefined;
    });
    if (!pulled) continue;
    results.push({ app: app.bundleId, ...pulled });
    lines.push(
      `${app.bundleId}  ${pulled.appleVersionId}  ${pulled.isNew ? 'pulled and checked' : 'already here'}` +
        `${pulled.isCurrent ? ', current' : ''}${pulled.removed.length > 0 ? `; removed ${pulled.removed.join(', ')}` : ''}`,
    );
  }
  if (dryRun) await goesOn({ action: planned.join(' and ') }, given);
  else print(results, json, lines);
}

export async function pullPackages(options: PullOptions): Promise<void> {
  process.once('SIGINT', exitInterrupted);
  await pullAll(options);
  process.off('SIGINT', exitInterrupted);
}

/**
 * The next run continues with the files that were already fetched. 130 is the exit code that shells report after
 * Ctrl-C.
 */
function exitInterrupted(): void {
  say('Interrupted. Run the same command again to continue where it stopped.');
  process.exit(130);
}

function progressOf({ path }: Asset, bytes: number, total: number | undefined): string {
  const share = total ? Math.floor((bytes / total) * 20) : 0;
  const bar = total ? `[${'#'.repeat(share)}${'.'.repeat(20 - share)}] ${Math.floor((bytes / total) * 100)} %` : '';
  return `${path.slice(0, 48)}  ${bar} ${(bytes / 1e6).toFixed(1)} MB`;
}

export async function verifyPackages(folder: string | undefined, { json }: JsonOption): Promise<void> {
  const folders = folder === undefined ? await everyPackage() : [folder];
  if (folders.length === 0)
    throw new WebdistError('state_invalid', 'There is no package to check.', { hint: 'Run `webdist packages pull`.' });
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
      resultLine(problems.length === 0 ? 'ok' : 'fail', `${path}  ${files} files, ${bytes} bytes`),
      ...problems.map((problem) => `      ${problem.kind.padEnd(7)}  ${problem.path}: ${problem.detail}`),
    ]),
  );
  if (data.some(({ problems }) => problems.length > 0))
    throw new WebdistError('package_invalid', 'A package is damaged; see above.', {
      hint: 'Delete that version and run `webdist packages pull`.',
    });
}

async function everyPackage(): Promise<string[]> {
  const { dir } = packagesSettings(processSettings());
  const found = await Promise.all(
    appsOf(undefined).map(async ({ appleItemId }) =>
      (await versionsIn(dir, appleItemId)).map((id) => versionFolder(dir, appleItemId, id)),
    ),
  );
  return found.flat();
}

export async function servePackages({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  const { buildPackageServer } = await import('../../http/package-server.ts');
  const { dir } = packagesSettings(processSettings());
  const server = await buildPackageServer(dir);
  const address = await server.listen({ host, port }).catch((cause) => {
    throw listenError(cause, { host, port }, { host: '--host', port: '--port' });
  });
  say(`Serving the packages in ${dir} on ${address}. Put your https proxy in front of it.`);
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => void server.close().then(() => process.exit(0)));
}
