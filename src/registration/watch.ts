/**
 * Keeps the known state of the registration current: checks App Store Connect at start-up and then in the background
 * (docs/apple-facts.md §4.11), stores the result, and follows a rotation (docs/rotation.md). Signing stops if the
 * registered key is not held here.
 */

import { bulkhead } from 'cockatiel';
import type { Logger } from 'pino';
import { type AccountViews, type CheckedApp, openAccountViews } from '../app-store-connect/account-view.ts';
import type { AppStoreConnect } from '../app-store-connect/client.ts';
import type { Config } from '../config/config.ts';
import type { WebdistError } from '../errors.ts';
import { spki } from '../jws.ts';
import type { OwnedRegistration } from './app-registration.ts';
import { candidateWith, publicHalves, refreshAll } from './candidates.ts';
import type { Clock } from './clock.ts';
import { coalesced } from './coalesced.ts';
import type { OwnedDomainRegistration } from './domain-registration.ts';
import { nextCheckSeconds } from './next-check.ts';
import type { RegistrationObserver } from './observer.ts';
import { checkProblem, reconcileDomain, reconcileKey } from './reconcile.ts';
import type { Notice } from './rotation/notice.ts';
import type { NoticeStatus } from './rotation/watch.ts';
import type { RegisteredKey, RegistrationEvent } from './state.ts';
import type { RegistrationStore } from './store-contract.ts';

type Connect = () => Promise<AppStoreConnect>;

export type WatchDeps = {
  readonly config: Pick<Config, 'keyScope' | 'register' | 'registerIntervalSeconds'>;
  readonly apps: readonly OwnedRegistration[];
  readonly domain: OwnedDomainRegistration;
  /** Opens App Store Connect; undefined with `WEBDIST_REGISTER=off`. Throws when the API key cannot be read. */
  readonly connect: Connect | undefined;
  readonly store: Pick<RegistrationStore, 'load' | 'save' | 'everRegistered' | 'addEverRegistered'>;
  readonly observer: Pick<RegistrationObserver, 'check' | 'changed'>;
  readonly log: Logger;
  readonly clock: Clock;
};

/** A running watch over the registration. */
export interface RegistrationWatch {
  /** Checks everything now. Resolves when that is done. Never throws, because the outcome is in the states. */
  reconcile(): Promise<void>;
  /** Follows the notice of a rotation. */
  follow(status: NoticeStatus): Promise<void>;
  close(): Promise<void>;
}

/** The number of apps that are checked at the same time. */
const APPS_IN_PARALLEL = 8;

/**
 * When several replicas see at the same moment that a rotation was abandoned, each checks at a random moment within
 * this time.
 */
const ABANDONED_CHECK_MS = 2000;

/**
 * Starts with the state in the store. Checks nothing before the first `reconcile`. After that, checks regularly until
 * `close`.
 */
export async function watchRegistration(deps: WatchDeps): Promise<RegistrationWatch> {
  const { config, apps, log, clock } = deps;
  let failures = 0;
  let cancelNext: (() => void) | undefined;
  let cancelAfterAbandoned: (() => void) | undefined;
  let isClosed = false;
  const views = openAccountViews();

  const stored = await deps.store.load();
  for (const one of apps) one.apply({ type: 'remembered', key: rememberedKey(one, stored, clock) });

  const { run: reconcile, idle } = coalesced(async () => {
    if (isClosed) return;
    cancelNext?.();
    const problem = await checkAll(views, deps);
    failures = problem ? failures + 1 : 0;
    if (isClosed) return;
    const seconds = nextCheckSeconds({
      intervalSeconds: config.registerIntervalSeconds,
      failures,
      retryAfterSeconds: problem?.retryAfterSeconds,
      random: clock.random,
    });
    if (problem)
      log.warn(
        { event: 'registration_problem', code: problem.code, err: problem, nextCheckSeconds: seconds },
        problem.message,
      );
    cancelNext = clock.after(seconds * 1000, reconcile);
  });

  return {
    reconcile,
    async follow({ notice, isAbandoned }) {
      const concerned = apps.filter((one) => (notice ? concerns(notice, one) : one.state.rotation));
      if (notice?.phase === 'done') {
        await replace(concerned, notice.to, deps);
        if (concerned.some(({ candidates }) => !candidateWith(candidates, notice.to.spki))) void reconcile();
        return;
      }
      for (const one of concerned) one.apply(eventOf(notice?.phase, isAbandoned));
      cancelAfterAbandoned?.();
      if (concerned.length > 0 && (isAbandoned || !notice))
        cancelAfterAbandoned = clock.after(clock.random() * ABANDONED_CHECK_MS, reconcile);
    },
    async close() {
      isClosed = true;
      cancelNext?.();
      cancelAfterAbandoned?.();
      await idle();
    },
  };
}

/** Refreshes the candidates and checks App Store Connect. Returns the first problem. */
async function checkAll(views: AccountViews, deps: WatchDeps): Promise<WebdistError | undefined> {
  const { apps, domain, connect, observer } = deps;
  await Promise.all(apps.map(({ candidates, state }) => refreshAll(candidates, state.registered?.spki)));
  if (connect) await observer.check(() => checkApple(connect, views, deps));
  else for (const one of apps) one.apply({ type: 'skipped' });
  observer.changed(apps, domain.state);
  return [...apps, domain].map(({ state }) => state.problem).find((problem) => problem !== undefined);
}

async function checkApple(connect: Connect, views: AccountViews, deps: WatchDeps): Promise<void> {
  const { config, apps, domain, store, log, clock } = deps;
  const before = apps.map(({ state }) => state.registered);
  let asc: AppStoreConnect;
  try {
    asc = await connect();
  } catch (error) {
    const problem = checkProblem(error);
    for (const one of apps) one.apply({ type: 'unchecked', problem });
    domain.apply({ type: 'failed', problem });
    return;
  }
  const ever = await store.everRegistered().catch((err) => {
    log.warn({ event: 'registration_not_shared', err }, 'nothing is registered until it is known what was removed');
    return undefined;
  });
  const account = views.open(asc, apps.map(checkedApp));
  const inParallel = bulkhead(APPS_IN_PARALLEL, apps.length);
  const checkApp = async (one: OwnedRegistration) => {
    const event = await reconcileKey(one, account, { settings: config, ever, now: clock.now });
    if (event) one.apply(event);
  };
  await Promise.all(apps.map((one) => inParallel.execute(() => checkApp(one))));
  domain.apply(await reconcileDomain(domain.state, account, { settings: config, ever }));
  await addEverRegistered(ever, deps);
  if (apps.every(({ state }, index) => state.registered === before[index])) return;
  const registered = apps.flatMap(({ app, state }) =>
    state.registered ? [[app.appleItemId, state.registered] as const] : [],
  );
  await store
    .save(Object.fromEntries(registered))
    .catch((err) => log.error({ event: 'registration_not_saved', err }, 'cannot store the key id'));
}

const checkedApp = ({ app, candidates, state }: OwnedRegistration): CheckedApp => ({
  appleItemId: app.appleItemId,
  bundleId: app.bundleId,
  held: publicHalves(candidates).map(spki),
  keyId: state.registered?.keyId,
});

async function addEverRegistered(ever: ReadonlySet<string> | undefined, { apps, domain, store, log }: WatchDeps) {
  const seen = apps.filter(({ state }) => state.registered).map(({ app }) => app.appleItemId);
  if (domain.state.confirmed) seen.push(domain.state.domain);
  if (seen.every((name) => ever?.has(name))) return;
  await store
    .addEverRegistered(seen)
    .catch((err) => log.error({ event: 'registration_not_saved', err }, 'cannot store what is registered'));
}

/** Signs with the new key from now on, without a check, because the command has verified the registration. */
async function replace(concerned: readonly OwnedRegistration[], to: Notice['to'], deps: WatchDeps): Promise<void> {
  const { apps, domain, observer, clock } = deps;
  // A replica that missed the earlier phases must not sign with the old key while it opens the new key.
  for (const one of concerned) one.apply({ type: 'replacing' });
  await Promise.all(
    concerned.map(async (one) => {
      if (!candidateWith(one.candidates, to.spki)) await refreshAll(one.candidates, to.spki);
      one.apply({ type: 'replaced', keyId: to.keyId ?? '', spki: to.spki, seenAt: isoTime(clock) });
    }),
  );
  observer.changed(apps, domain.state);
}

function eventOf(phase: 'announced' | 'switching' | undefined, isAbandoned: boolean): RegistrationEvent {
  if (phase === undefined) return { type: 'withdrawn' };
  return isAbandoned ? { type: 'abandoned', phase } : { type: phase };
}

/** A rotation also affects an app that uses a key of the account, although the command may not know this app. */
const concerns = ({ appleItemIds, scope, from }: Notice, { app, state }: OwnedRegistration) =>
  appleItemIds.includes(app.appleItemId) ||
  (scope === 'account' && state.registered !== undefined && state.registered.spki === from?.spki);

/** The key id from the settings belongs to the first key that is held. */
function rememberedKey(
  { app, candidates }: OwnedRegistration,
  stored: Readonly<Record<string, RegisteredKey>>,
  clock: Clock,
): RegisteredKey | undefined {
  if (!app.keyId) return stored[app.appleItemId];
  const signer = candidates.find((candidate) => candidate.signer)?.signer;
  return signer && { keyId: app.keyId, spki: spki(signer.publicKey), seenAt: isoTime(clock) };
}

const isoTime = (clock: Clock) => new Date(clock.now()).toISOString();
