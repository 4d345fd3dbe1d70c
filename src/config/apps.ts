/** Reads the domain and the apps: one app from variables, or several from the file of `WEBDIST_CONFIG`. */

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isWithinDomain } from '../host.ts';
import { type ApiKeyEntry, type AppEntry, readConfigFile } from './apps-file.ts';
import { packagesIn } from './device-side.ts';
import type { Problem } from './problems.ts';
import type { Read } from './read.ts';
import { type SettingName, settings, type Values } from './settings.ts';

/** One app that is installed from the website. */
export type AppConfig = Readonly<AppEntry> & {
  /** The variable that gave the locator of the key, or the file with the apps; for messages. */
  readonly keyVariable: string;
};

type Apps = { readonly domain: string; readonly apps: readonly AppConfig[] };
type AppsAndKeys = Apps & { readonly apiKeysInFile: readonly ApiKeyEntry[] | undefined };

const required = ['WEBDIST_DOMAIN', 'WEBDIST_APPLE_ITEM_ID', 'WEBDIST_BUNDLE_ID', 'WEBDIST_KEY'] as const;

/** The settings of a single app. With `WEBDIST_CONFIG`, they are in the file instead. */
const ofOneApp = [
  'WEBDIST_APPLE_ITEM_ID',
  'WEBDIST_BUNDLE_ID',
  'WEBDIST_KEY',
  'WEBDIST_KEY_ID',
  'WEBDIST_PACKAGE_URL',
  'WEBDIST_APP_SHARE_URL',
  'WEBDIST_PACKAGE_MANIFEST',
] as const;

/** The settings that `appsOf` and `knownApps` read. */
export const appNames: readonly SettingName[] = ['WEBDIST_CONFIG', 'WEBDIST_DOMAIN', ...ofOneApp];

/** Returns the domain and the apps. Adds a problem to `problems` for each missing value. */
export function appsOf(read: Read, problems: Problem[]): AppsAndKeys {
  const { values, given } = read;
  if (values.WEBDIST_CONFIG === undefined) {
    // A malformed value already has a problem.
    for (const name of required.filter((name) => !given.has(name)))
      problems.push({ variable: name, message: `is required: ${settings[name].about}` });
    return {
      domain: values.WEBDIST_DOMAIN ?? '',
      apps: [withPulledPackage(appIn(read), values)],
      apiKeysInFile: undefined,
    };
  }
  const { domain, apps, apiKeysInFile } = appsInFile(values.WEBDIST_CONFIG, read, problems);
  if (domain === undefined && !given.has('WEBDIST_DOMAIN'))
    problems.push({
      variable: 'WEBDIST_DOMAIN',
      message: 'is required, as a variable or as "domain" in the file of WEBDIST_CONFIG',
    });
  return { domain: domain ?? '', apps: apps.map((app) => withPulledPackage(app, values)), apiKeysInFile };
}

/** Returns the domain and the apps, if they are set. An app has at least an AppleItemID and a bundle id. */
export function knownApps(read: Read, problems: Problem[]): Apps {
  const { values } = read;
  const { domain, apps } =
    values.WEBDIST_CONFIG === undefined
      ? { domain: values.WEBDIST_DOMAIN, apps: [appIn(read)] }
      : appsInFile(values.WEBDIST_CONFIG, read, problems);
  return { domain: domain ?? '', apps: apps.filter((app) => app.bundleId && app.appleItemId) };
}

function appsInFile(path: string, { values, given }: Read, problems: Problem[]) {
  for (const name of ofOneApp)
    if (given.has(name))
      problems.push({ variable: name, message: 'must be set in the file of WEBDIST_CONFIG instead' });
  const file = readConfigFile(path, problems);
  if (values.WEBDIST_DOMAIN && file?.domain)
    problems.push({
      variable: 'WEBDIST_DOMAIN',
      message: 'is also set in the file of WEBDIST_CONFIG; set one of them',
    });
  const keyVariable = given.get('WEBDIST_CONFIG') ?? 'WEBDIST_CONFIG';
  // A file that cannot be read already has a problem.
  return {
    domain: values.WEBDIST_DOMAIN ?? (file ? file.domain : ''),
    apps: (file?.apps ?? []).map((app) => ({ ...app, keyVariable })),
    apiKeysInFile: file?.apiKeys,
  };
}

const appIn = ({ values, given }: Read): AppConfig => ({
  bundleId: values.WEBDIST_BUNDLE_ID ?? '',
  appleItemId: values.WEBDIST_APPLE_ITEM_ID ?? '',
  key: values.WEBDIST_KEY ?? [],
  keyVariable: given.get('WEBDIST_KEY') ?? 'WEBDIST_KEY',
  keyId: values.WEBDIST_KEY_ID,
  packageUrl: values.WEBDIST_PACKAGE_URL,
  packageManifest: values.WEBDIST_PACKAGE_MANIFEST,
  appShareUrl: values.WEBDIST_APP_SHARE_URL,
});

/** If the website serves the folder of pulled packages, an app without a package URL gets its URL in that folder. */
function withPulledPackage(app: AppConfig, values: Values): AppConfig {
  const { dir, url } = packagesIn(values);
  if (url === undefined || app.packageUrl !== undefined) return app;
  return {
    ...app,
    packageUrl: `${url}/${app.appleItemId}/current`,
    packageManifest:
      app.packageManifest ?? pathToFileURL(resolve(dir, app.appleItemId, 'current', 'manifest.json')).href,
  };
}

/**
 * Why no device installs from a package URL, although it is valid (docs/apple-facts.md §2.3, §10 lines 4 to 6): each
 * reason completes "the URL …".
 */
export function packageUrlFaults(packageUrl: string, domain: string): string[] {
  const { hostname, port, pathname } = new URL(packageUrl);
  const isOwnHost = domain === '' || isWithinDomain(hostname, domain);
  // Devices append the names of the files (docs/apple-facts.md §5.4).
  const file = /\/(manifest\.json|signature|[^/]+\.(?:zip|ipa|plist))\/*$/i.exec(pathname)?.[1];
  return [
    ...(packageUrl.includes('?') ? ['has a query, but file names are appended to it'] : []),
    ...(port ? ['has a port; devices accept only the default port'] : []),
    ...(isOwnHost ? [] : ['is on a different host than WEBDIST_DOMAIN; devices refuse the link']),
    ...(file ? [`must be the folder of the package: leave out /${file}`] : []),
  ];
}

/** Returns warnings about the package URLs of apps. */
export const packageUrlWarnings = ({ domain, apps }: Apps, given: Read['given']): Problem[] =>
  apps.flatMap(({ bundleId, packageUrl }) =>
    packageUrl !== undefined && URL.canParse(packageUrl)
      ? packageUrlFaults(packageUrl, domain).map((fault) =>
          given.has('WEBDIST_CONFIG')
            ? { variable: 'WEBDIST_CONFIG', message: `packageUrl of ${bundleId} ${fault}` }
            : { variable: 'WEBDIST_PACKAGE_URL', message: fault },
        )
      : [],
  );
