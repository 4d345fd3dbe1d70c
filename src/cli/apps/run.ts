/**
 * `webdist apps`: prints apps with their AppleItemIDs and the ids of their distribution keys (docs/apple-facts.md
 * §4.3).
 */

import { fingerprint } from '../../jws.ts';
import { withAppStoreConnect } from '../app-store-connect.ts';
import { findApp } from '../find-app.ts';
import { type JsonOption, print, table } from '../terminal.ts';

export async function listApps({ json }: JsonOption): Promise<void> {
  const apps = await withAppStoreConnect('Fetching the apps', (asc) => asc.listApps());
  const data = apps.map(({ appleItemId, bundleId, name }) => ({ appleItemId, bundleId, name: name ?? null }));
  const rows = apps.map(({ appleItemId, bundleId, name }) => [appleItemId, bundleId, name]);
  print(
    data,
    json,
    rows.length === 0 ? ['The API key has access to no app.'] : table(['APPLEITEMID', 'BUNDLE ID', 'NAME'], rows),
  );
}

export async function showApp(wanted: string, { json }: JsonOption): Promise<void> {
  const { app, key } = await withAppStoreConnect('Fetching the app', async (asc) => {
    const app = await findApp(asc, wanted);
    return { app, key: await asc.appKey(app.appleItemId) };
  });
  const keyFingerprint = key?.spki === undefined ? undefined : fingerprint(key.spki);
  print(
    { ...app, name: app.name ?? null, keyId: key?.id ?? null, fingerprint: keyFingerprint ?? null },
    json,
    [
      `name         ${app.name ?? ''}`,
      `bundle id    ${app.bundleId}`,
      `AppleItemID  ${app.appleItemId}`,
      `key id       ${key?.id ?? 'no key of its own; a key for all apps may apply (webdist keys list --account)'}`,
      ...(keyFingerprint ? [`fingerprint  ${keyFingerprint}`] : []),
    ].map((line) => line.trimEnd()),
  );
}
