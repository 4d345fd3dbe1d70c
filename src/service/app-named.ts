/** The apps that a service serves, and how a request finds one of them. */

import type { AppConfig } from '../config/config.ts';
import { WebdistError } from '../errors.ts';

/**
 * Returns the app with this bundle id or AppleItemID; without a name, the only app. Throws `unknown_app`,
 * `invalid_request`.
 */
export type AppNamed = (name: string | undefined) => AppConfig;

/** The apps that are served at one time. Never changes; another list replaces it. */
export interface ServedApps {
  readonly all: readonly AppConfig[];
  readonly named: AppNamed;
  withId(appleItemId: string): AppConfig | undefined;
}

/** Returns the lookups among these apps. */
export function servedApps(apps: readonly AppConfig[]): ServedApps {
  const byId = new Map(apps.map((app) => [app.appleItemId, app]));
  return { all: apps, named: appsByName(apps), withId: (appleItemId) => byId.get(appleItemId) };
}

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
