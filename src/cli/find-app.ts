/** Finds an app of the account by what people call it. */

import type { AppStoreConnect } from '../app-store-connect/client.ts';
import type { App } from '../app-store-connect/resources.ts';
import { WebdistError } from '../errors.ts';

const looksLikeBundleId = (text: string) => /^[\w-]+(\.[\w-]+)+$/.test(text);

/** The app with this bundle id, AppleItemID or name. Throws `asc_not_found`, or what the client throws. */
export async function findApp(asc: Pick<AppStoreConnect, 'findApps' | 'listApps'>, wanted: string): Promise<App> {
  const apps = looksLikeBundleId(wanted) ? await asc.findApps(wanted) : await asc.listApps();
  const app = apps.find(({ appleItemId, bundleId, name }) => [appleItemId, bundleId, name].includes(wanted));
  if (app) return app;
  throw new WebdistError('asc_not_found', `App Store Connect has no app "${wanted}" for this API key.`, {
    hint: 'Check the name (case matters), and that the API key belongs to the right account (webdist whoami).',
  });
}
