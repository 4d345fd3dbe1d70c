/** Pulls the packages of all apps into the packages folder, when a webhook of App Store Connect reports news. */

import type { Logger } from 'pino';
import type { AppStoreConnect } from '../app-store-connect/client.ts';
import type { AppConfig } from '../config/apps.ts';
import type { Config } from '../config/config.ts';
import type { FollowedOrders } from '../orders/follow.ts';
import { packageSource } from './package-source.ts';

type Deps = {
  readonly apps: readonly AppConfig[];
  readonly config: Pick<Config, 'packages' | 'register'>;
  /** Returns the client; absent without an API key, in which case nothing is pulled. */
  readonly connect: (() => Promise<Pick<AppStoreConnect, 'packages'>>) | undefined;
  readonly orders: Pick<FollowedOrders, 'of'>;
  readonly log: Logger;
};

/**
 * Returns a function that pulls new packages, as `webdist packages pull` does, and never throws. Pulls nothing unless the
 * service uses the packages folder (`WEBDIST_PACKAGES_URL`).
 */
export function packagePull({ apps, config, connect, orders, log }: Deps): () => Promise<void> {
  const { dir, url, keep } = config.packages;
  return async () => {
    if (!connect || url === undefined) return;
    const { pullPackage } = await import('../packages/pull.ts');
    for (const app of apps)
      try {
        const report = (line: string) => log.info({ event: 'package_requested', bundleId: app.bundleId }, line);
        const source = await packageSource(await connect(), { app, mayCreate: config.register === 'ensure', report });
        const { appleVersionId, isNew } = await pullPackage({ dir, app, source, keep, used: orders.of(app).used });
        if (isNew)
          log.info({ event: 'package_pulled', bundleId: app.bundleId, appleVersionId }, 'pulled a new package');
      } catch (err) {
        log.warn({ event: 'package_not_pulled', bundleId: app.bundleId, err }, 'the package could not be pulled');
      }
  };
}
