/**
 * Finds the app that a key belongs to. App Store Connect reports the key of an app, but not the app of a key
 * (docs/apple-facts.md §4.4).
 */

import type { AppStoreConnect } from '../../app-store-connect/client.ts';
import type { App, RegisteredKey } from '../../app-store-connect/resources.ts';

/** Each app costs one request, of about 3500 that Apple allows in an hour. */
const MAX_APPS = 100;

/** Maps the ids of keys to their apps, for the apps that this API key has access to. */
export async function appsOfKeys(
  asc: Pick<AppStoreConnect, 'listApps' | 'appKey'>,
  keys: readonly RegisteredKey[],
): Promise<ReadonlyMap<string, App>> {
  const owners = new Map<string, App>();
  if (keys.length === 0) return owners;
  const wanted = new Set(keys.map(({ id }) => id));
  for (const app of (await asc.listApps()).slice(0, MAX_APPS)) {
    if (owners.size === wanted.size) break;
    const key = await asc.appKey(app.appleItemId);
    if (key && wanted.has(key.id)) owners.set(key.id, app);
  }
  return owners;
}
