/**
 * The parts of a service that depend on the list of apps: keys, packages, nonces. When the list changes, new parts are
 * opened from the new list and replace the old ones, which are closed after the last request that uses them.
 */

import type { Logger } from 'pino';
import type { AppConfig, Config } from '../config/config.ts';
import type { Environment } from '../environment.ts';
import { openNonces } from '../install-token/nonce.ts';
import type { Metrics } from '../metrics.ts';
import type { FollowedOrders } from '../orders/follow.ts';
import { openCatalogue } from '../packages/catalogue.ts';
import { systemClock } from '../registration/clock.ts';
import { openKeys } from '../registration/keys.ts';
import type { RegistrationObserver } from '../registration/observer.ts';
import { servedApps } from './app-named.ts';
import type { AuditTrail } from './audit-trail.ts';
import { openIssuing } from './issuing.ts';
import { watchNewerVersions } from './newer-versions.ts';
import { packagePull } from './package-pull.ts';
import type { Records } from './records.ts';
import { offersBy } from './replica.ts';
import type { Subject, SubjectHash } from './subject.ts';
import { openTokenClock } from './token-clock.ts';

export type AppPartsDeps = {
  readonly env: Environment;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** See `Clock.timeOriginMs`. */
  readonly timeOriginMs: () => number;
  readonly autoReconcile: boolean;
  readonly observer: RegistrationObserver;
  readonly orders: FollowedOrders;
  readonly metrics: Metrics;
  readonly records: Records;
  readonly hash: (subject: Subject) => SubjectHash;
  readonly audit: AuditTrail | undefined;
  /** 32 bytes that encrypt nonces. */
  readonly nonceKey: Buffer;
};

/** Opens the keys and the packages of these apps. Throws `config_invalid`, `key_*` or `state_invalid`. */
export async function openAppParts(config: Config, apps: readonly AppConfig[], deps: AppPartsDeps) {
  const { env, log, now, timeOriginMs, autoReconcile, observer, orders, metrics, records, hash, audit, nonceKey } =
    deps;
  await using opening = new AsyncDisposableStack();
  const clock = { ...systemClock, now, timeOriginMs };
  const keys = await openKeys(
    { ...config, apps },
    {
      env,
      log,
      observer,
      autoReconcile,
      clock,
      onNotice: orders.reportSoon,
    },
  );
  opening.defer(() => keys.close());
  const nonces = openNonces(
    nonceKey,
    apps.map(({ appleItemId }) => appleItemId),
  );
  const catalogue = openCatalogue({ apps, folder: config.packages, offerOf: offersBy(apps, orders), log });
  opening.defer(() => catalogue.close());
  const newerVersions = watchNewerVersions({ apps, catalogue, connect: keys.connect, metrics, log });
  opening.defer(() => newerVersions.close());
  const tokenClock = openTokenClock({ keys, now, lifetimeSeconds: config.tokenLifetimeSeconds, log });
  const { issue, ended } = openIssuing(config, {
    keys,
    records,
    nonces,
    hash,
    catalogue,
    orders,
    metrics,
    audit,
    clock: tokenClock,
  });
  const pull = packagePull({ apps, config, connect: keys.connect, orders, log });
  const opened = opening.move();
  return {
    apps: servedApps(apps),
    keys,
    nonces,
    catalogue,
    clock: tokenClock,
    issue,
    /** Reads the package manifests again; never throws. */
    readPackages: () => catalogue.refresh().then(newerVersions.check),
    /** Pulls new packages into the packages folder; never throws. */
    pull,
    /** Resolves after the last request for a token that uses these parts. */
    async close() {
      await ended();
      await opened.disposeAsync();
    },
  };
}
