/** Chooses an app among those that a command knows, by `--app`. */

import { WebdistError } from '../errors.ts';

type Named = { readonly appleItemId: string; readonly bundleId: string };

/**
 * Returns the app with this bundle id or AppleItemID; without a name, the only app. Throws `usage_invalid`, which lists the
 * apps.
 */
export function appNamed<A extends Named>(apps: readonly A[], name: string | undefined): A {
  const [first, ...others] = apps;
  const found = apps.find(({ bundleId, appleItemId }) => bundleId === name || appleItemId === name);
  const app = name === undefined && others.length === 0 ? first : found;
  if (app) return app;
  if (!first)
    throw new WebdistError('usage_invalid', 'No app is known here.', {
      hint: 'Run this with the settings of the service: WEBDIST_APPLE_ITEM_ID and WEBDIST_BUNDLE_ID, or WEBDIST_CONFIG.',
    });
  throw new WebdistError(
    'usage_invalid',
    name === undefined ? `${apps.length} apps are known here.` : `No app "${name}" is known here.`,
    { hint: `Use --app with one of: ${apps.map(({ bundleId }) => bundleId).join(', ')}.` },
  );
}
