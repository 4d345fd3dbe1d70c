/**
 * Checks every hour whether App Store Connect has a newer approved version of an app than the package that is served. Web
 * distribution gets no notification of new packages (docs/apple-facts.md §5.5), and pulling them is another program's job.
 */

import type { Logger } from 'pino';
import type { AppStoreConnect } from '../app-store-connect/client.ts';
import type { AppConfig } from '../config/apps.ts';
import type { Metrics } from '../metrics.ts';
import type { Catalogue } from '../packages/catalogue.ts';
import { compareDotted } from '../packages/versions.ts';

const HOUR_MS = 60 * 60 * 1000;

export type NewerVersionsDeps = {
  readonly apps: readonly AppConfig[];
  readonly catalogue: Pick<Catalogue, 'currentOf'>;
  /** Returns the client; absent without an API key, in which case nothing is checked. */
  readonly connect: (() => Promise<Pick<AppStoreConnect, 'packages'>>) | undefined;
  readonly metrics: Pick<Metrics, 'packageNewer'>;
  readonly log: Logger;
};

/** Checks now with `check`, which never throws, and every hour until `close`. */
export function watchNewerVersions({ apps, catalogue, connect, metrics, log }: NewerVersionsDeps) {
  const reported = new Map<string, string>();
  const checkApp = async (app: AppConfig) => {
    const { appleItemId, bundleId } = app;
    const served = catalogue.currentOf(app)?.shortVersionString;
    if (!connect || served === undefined) return;
    try {
      const versions = await (await connect()).packages.storeVersions(appleItemId);
      const newest = versions
        .filter(({ isApproved }) => isApproved)
        .map(({ versionString }) => versionString)
        .reduce((one, other) => (compareDotted(other, one) > 0 ? other : one), served);
      const isNewer = compareDotted(newest, served) > 0;
      metrics.packageNewer.set({ app: bundleId }, isNewer ? 1 : 0);
      if (isNewer && reported.get(bundleId) !== newest)
        log.warn({ event: 'package_newer', bundleId, served, newest }, 'App Store Connect has a newer version');
      reported.set(bundleId, newest);
    } catch (err) {
      // The last value stays. Registration checks already report that App Store Connect does not answer.
      log.debug({ err, bundleId }, 'the versions at App Store Connect could not be listed');
    }
  };
  const check = async () => void (await Promise.all(apps.map(checkApp)));
  const timer = setInterval(check, HOUR_MS * (0.8 + Math.random() * 0.4)).unref();
  return { check, close: () => clearInterval(timer) };
}
