/** One check of all apps and the domain at App Store Connect. */

import { bulkhead } from 'cockatiel';
import type { Logger } from 'pino';
import type { AccountViews, CheckedApp } from '../app-store-connect/account-view.ts';
import type { AppStoreConnect } from '../app-store-connect/client.ts';
import type { Config } from '../config/config.ts';
import { spki } from '../jws.ts';
import type { OwnedRegistration } from './app-registration.ts';
import { publicHalves } from './candidates.ts';
import type { Clock } from './clock.ts';
import type { OwnedDomainRegistration } from './domain-registration.ts';
import { checkProblem, reconcileDomain, reconcileKey } from './reconcile.ts';
import type { RegistrationStore } from './store-contract.ts';

export type CheckDeps = {
  readonly config: Pick<Config, 'keyScope' | 'register'>;
  readonly apps: readonly OwnedRegistration[];
  readonly domain: OwnedDomainRegistration;
  readonly store: Pick<RegistrationStore, 'everRegistered' | 'addEverRegistered'>;
  readonly log: Logger;
  readonly clock: Pick<Clock, 'now'>;
};

/** Apps that are checked at the same time. */
const APPS_IN_PARALLEL = 8;

/** Checks everything; the outcome is in the states. Returns the apps about which something was found. Never throws. */
export async function checkApple(
  connect: () => Promise<AppStoreConnect>,
  views: AccountViews,
  deps: CheckDeps,
): Promise<readonly OwnedRegistration[]> {
  const { config, apps, domain, store, log, clock } = deps;
  let asc: AppStoreConnect;
  try {
    asc = await connect();
  } catch (error) {
    const problem = checkProblem(error);
    for (const one of apps) one.apply({ type: 'unchecked', problem });
    domain.apply({ type: 'failed', problem });
    return apps;
  }
  const ever = await store.everRegistered().catch((err) => {
    log.warn(
      { event: 'registration_not_shared', err },
      'the list of removed keys and domains cannot be read, so nothing is registered',
    );
    return undefined;
  });
  const account = views.open(asc, apps.map(checkedApp));
  const inParallel = bulkhead(APPS_IN_PARALLEL, apps.length);
  const checkApp = async (one: OwnedRegistration) => {
    const before = one.state;
    const event = await reconcileKey(one, account, { settings: config, ever, now: clock.now });
    if (event) one.apply(event);
    return one.state !== before;
  };
  const found = await Promise.all(apps.map((one) => inParallel.execute(() => checkApp(one))));
  domain.apply(await reconcileDomain(domain.state, account, { settings: config, ever }));
  await addEverRegistered(ever, deps);
  return apps.filter((_, index) => found[index]);
}

const checkedApp = ({ app, candidates, state }: OwnedRegistration): CheckedApp => ({
  appleItemId: app.appleItemId,
  bundleId: app.bundleId,
  held: publicHalves(candidates).map(spki),
  keyId: state.registered?.keyId,
});

async function addEverRegistered(ever: ReadonlySet<string> | undefined, { apps, domain, store, log }: CheckDeps) {
  const seen = apps.filter(({ state }) => state.registered).map(({ app }) => app.appleItemId);
  if (domain.state.confirmed) seen.push(domain.state.domain);
  if (seen.every((name) => ever?.has(name))) return;
  await store
    .addEverRegistered(seen)
    .catch((err) =>
      log.error({ event: 'registration_not_saved', err }, 'cannot store the registered keys and domains'),
    );
}
