/**
 * The keys of a service. Opens the private halves of every app and the App Store Connect API key, stops the start if a
 * key has a problem that only an operator can fix, and starts the watch over the registration.
 */

import { bulkhead } from 'cockatiel';
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import type { Environment } from '../environment.ts';
import { about, WebdistError } from '../errors.ts';
import type { SigningKey } from '../jws.ts';
import { type AppRegistration, ownRegistration } from './app-registration.ts';
import { type AppleConnection, openAppleConnection } from './apple-connection.ts';
import { openCandidate } from './candidates.ts';
import { type Clock, systemClock } from './clock.ts';
import { type DomainRegistration, ownDomainRegistration } from './domain-registration.ts';
import type { RegistrationObserver } from './observer.ts';
import { type NoticeStatus, watchNotice } from './rotation/watch.ts';
import {
  distributionKeyOf,
  refuseAppleKeyFiles,
  refuseSameKey,
  refuseUnusableApiKey,
  refuseUnusableKeys,
} from './start-up-checks.ts';
import { openRegistrationStore } from './store.ts';
import { type RegistrationWatch, watchRegistration } from './watch.ts';

/** Apps whose keys are opened at the same time; more requests could be throttled. */
const APPS_IN_PARALLEL = 32;

export interface Keys {
  readonly apps: readonly AppRegistration[];
  readonly domain: DomainRegistration;
  /** App Store Connect's clock minus this machine's, in seconds; undefined before the first response. */
  readonly clockOffsetSeconds: number | undefined;
  /** Returns the client of App Store Connect; absent without an API key. */
  readonly connect: AppleConnection['connect'] | undefined;
  /** Returns the key that signs for an app. Throws `not_registered`, `unknown_app`. */
  keyFor(app: { readonly appleItemId: string }): SigningKey;
  /** See `NoticeWatch`: undefined, or resolves once it is known whether a rotation is in progress. */
  ensureFresh(): Promise<void> | undefined;
  /** The run of `webdist keys rotate` whose notice was read last. */
  readonly rotationRun: string | undefined;
  /** Checks all keys and the registration now. Resolves when that is done. Never throws. */
  reconcile(): Promise<void>;
  close(): Promise<void>;
}

export type KeysDeps = {
  readonly env: Environment;
  readonly log: Logger;
  readonly observer: RegistrationObserver;
  /** If false, nothing is checked until `reconcile` is called. */
  readonly autoReconcile: boolean;
  readonly clock?: Clock;
  /** Called with every new notice of a rotation. */
  readonly onNotice?: () => void;
};

/** Opens every key; the first check of the registration runs in the background. Throws `key_*`, `config_invalid`, `state_invalid`. */
export async function openKeys(config: Config, deps: KeysDeps): Promise<Keys> {
  const { env, log, observer, autoReconcile, clock = systemClock, onNotice } = deps;
  await using opening = new AsyncDisposableStack();
  let watch: RegistrationWatch | undefined;
  // A backend may keep state in the data folder. The configuration has its absolute path.
  const keysEnv = { ...env, WEBDIST_DATA_DIR: config.dataDir };
  const open = async (locator: string, what: string) => {
    const candidate = await openCandidate(locator, {
      env: keysEnv,
      log,
      clock,
      onChange: () => void watch?.reconcile(),
    }).catch((error) => {
      throw about(what, error);
    });
    opening.defer(() => candidate.close());
    return candidate;
  };

  for (const app of config.apps) refuseAppleKeyFiles(app);
  // In parallel, so that backends that do not answer delay the start by about one time limit, not by one each.
  const inParallel = bulkhead(APPS_IN_PARALLEL, config.apps.length);
  const [apiKey, appKeys] = await Promise.all([
    config.appStoreConnect && open(config.appStoreConnect.privateKey, config.appStoreConnect.privateKeyVariable),
    Promise.all(
      config.apps.map((app) =>
        inParallel.execute(async () => ({
          app,
          candidates: await Promise.all(app.key.map((locator) => open(locator, distributionKeyOf(app)))),
        })),
      ),
    ),
  ]);
  const apps = appKeys.map(({ app, candidates }) => {
    refuseUnusableKeys({ app, candidates }, log);
    return ownRegistration(app, candidates, log);
  });
  const domain = ownDomainRegistration(config.domain, log);
  let apple: AppleConnection | undefined;
  if (config.appStoreConnect && apiKey) {
    refuseUnusableApiKey(apiKey, config.appStoreConnect.privateKeyVariable);
    refuseSameKey(apiKey, apps);
    apple = openAppleConnection(config.appStoreConnect, { apiKey, observer, log, clock });
  }
  const store = await openRegistrationStore(config, log, clock.now);
  opening.defer(() => store.close());
  const watching = await watchRegistration({
    config,
    apps,
    domain,
    connect: apple?.connect,
    ownClockOffsetSeconds: () => apple?.clockOffsetSeconds,
    store,
    observer,
    log,
    clock,
  });
  watch = watching;
  const follow = async (status: NoticeStatus) => {
    onNotice?.();
    await watching.follow(status);
  };
  const notice = await watchNotice({ notices: store, follow, log, clock });
  opening.defer(async () => {
    // Aborts requests first, because a check that waits for a slow App Store Connect must not delay the shutdown.
    apple?.close();
    await Promise.all([watching.close(), notice.close()]);
  });
  if (autoReconcile) void watching.reconcile();

  const byAppleItemId = new Map(apps.map((one) => [one.app.appleItemId, one]));
  const opened = opening.move();
  return {
    apps,
    domain,
    connect: apple?.connect,
    get clockOffsetSeconds() {
      return watching.clockOffsetSeconds;
    },
    keyFor({ appleItemId }) {
      const registration = byAppleItemId.get(appleItemId);
      if (!registration) throw new WebdistError('unknown_app', 'This server does not serve that app.');
      return registration.currentKey();
    },
    ensureFresh: notice.ensureFresh,
    get rotationRun() {
      return notice.run;
    },
    reconcile: watching.reconcile,
    close: () => opened.disposeAsync(),
  };
}
