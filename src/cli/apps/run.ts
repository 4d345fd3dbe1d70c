/** `webdist apps find`: an app's AppleItemID and the id of its distribution key (docs/apple-facts.md §4.3). */

import type { AppStoreConnect } from '../../app-store-connect/client.ts';
import { fingerprint } from '../../app-store-connect/register.ts';
import type { App } from '../../app-store-connect/resources.ts';
import { WebdistError } from '../../errors.ts';
import { withAppStoreConnect } from '../apple.ts';
import { type JsonOption, print } from '../terminal.ts';

export async function findApp(name: string, { json }: JsonOption): Promise<void> {
  const { app, key } = await withAppStoreConnect('Asking for the app', async (asc) => {
    const app = await appNamed(asc, name);
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
      `key id       ${key?.id ?? 'none of its own; a key for all apps may serve it (webdist keys list --account)'}`,
      ...(keyFingerprint ? [`fingerprint  ${keyFingerprint}`] : []),
    ].map((line) => line.trimEnd()),
  );
}

/** The app with this bundle id or AppleItemID. Throws `asc_not_found`, or what the client throws. */
export async function appNamed(asc: Pick<AppStoreConnect, 'findApps' | 'listApps'>, name: string): Promise<App> {
  const isItemId = /^\d+$/.test(name);
  const apps = isItemId ? await asc.listApps() : await asc.findApps(name);
  const app = apps.find((one) => one.appleItemId === name || one.bundleId === name);
  if (app) return app;
  throw new WebdistError('asc_not_found', `App Store Connect shows this API key no app "${name}".`, {
    hint: 'Check the name, capitals included, and that the API key belongs to the right account (webdist whoami).',
  });
}
