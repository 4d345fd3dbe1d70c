/** Finds an app by the name that a caller sent. */

import type { AppConfig } from '../config/config.ts';
import { WebdistError } from '../errors.ts';

/**
 * Returns the app with this bundle id or AppleItemID; without a name, the only app. Throws `unknown_app`,
 * `invalid_request`.
 */
export type AppNamed = (name: string | undefined) => AppConfig;

/** Returns a lookup among these apps. */
export function appsByName(apps: readonly AppConfig[]): AppNamed {
  const named = new Map(apps.flatMap((app) => [app.bundleId, app.appleItemId].map((name) => [name, app] as const)));
  const only = apps.length === 1 ? apps[0] : undefined;
  return (name) => {
    if (name === undefined && only) return only;
    if (name === undefined)
      throw new WebdistError('invalid_request', 'app: is required, because this server has several apps.');
    const app = named.get(name);
    if (!app) throw new WebdistError('unknown_app', 'app: no app of this server has that bundle id or AppleItemID.');
    return app;
  };
}
