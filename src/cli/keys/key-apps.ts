/** To which app a key belongs: App Store Connect tells it only from the app's side (docs/apple-facts.md §4.4). */

import type { AppStoreConnect } from '../../app-store-connect/client.ts';
import type { App, RegisteredKey } from '../../app-store-connect/resources.ts';

/** Each app is one request, of about 3500 in an hour. */
const MOST_APPS = 100;

/** Gives the app of each key by the key's id, where it can be found among the apps this API key sees. */
export async function appsOfKeys(
  asc: Pick<AppStoreConnect, 'listApps' | 'appKey'>,
  keys: readonly RegisteredKey[],
): Promise<ReadonlyMap<string, App>> {
  const owners = new Map<string, App>();
  if (keys.length === 0) return owners;
  const wanted = new Set(keys.map(({ id }) => id));
  for (const app of (await asc.listApps()).slice(0, MOST_APPS)) {
    if (owners.size === wanted.size) break;
    const key = await asc.appKey(app.appleItemId);
    if (key && wanted.has(key.id)) owners.set(key.id, app);
  }
  return owners;
}
