/** Finds an app of the account by its bundle id, AppleItemID or name. */

import type { AppStoreConnect } from '../app-store-connect/client.ts';
import type { App } from '../app-store-connect/resources.ts';
import { WebdistError } from '../errors.ts';

const looksLikeBundleId = (text: string) => /^[\w-]+(\.[\w-]+)+$/.test(text);

/**
 * Finds the app with this bundle id, AppleItemID or name. Case and white space in a name do not matter. Throws
 * `asc_not_found`, `usage_invalid` if several apps have the name, or what the client throws.
 */
export async function findApp(asc: Pick<AppStoreConnect, 'findApps' | 'listApps'>, wanted: string): Promise<App> {
  const exactIn = (apps: readonly App[]) =>
    apps.find(({ appleItemId, bundleId }) => [appleItemId, bundleId].includes(wanted));
  const byBundleId = looksLikeBundleId(wanted) ? exactIn(await asc.findApps(wanted)) : undefined;
  if (byBundleId) return byBundleId;
  const apps = await asc.listApps();
  const sameName = apps.filter(({ name }) => name === wanted);
  const named = sameName.length > 0 ? sameName : apps.filter(({ name }) => folded(name) === folded(wanted));
  const app = exactIn(apps) ?? named[0];
  if (!app)
    throw new WebdistError('asc_not_found', `App Store Connect has no app "${wanted}" for this API key.`, {
      hint: 'Check the spelling with `webdist apps list` (in bundle ids, case matters), and that the API key belongs to the right account (webdist whoami).',
    });
  if (!exactIn(apps) && named.length > 1)
    throw new WebdistError('usage_invalid', `${named.length} apps are called "${wanted}".`, {
      hint: `Use one of the bundle ids ${named.map(({ bundleId }) => bundleId).join(', ')}.`,
    });
  return app;
}

/** Removes differences in case and white space from a name. */
const folded = (name: string | undefined) => name?.normalize('NFKC').trim().replace(/\s+/g, ' ').toLowerCase();
