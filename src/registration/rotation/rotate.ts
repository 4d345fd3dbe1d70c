/**
 * Replaces one registered key with another while replicas are signing. The replicas pause, the registration changes,
 * and the replicas sign with the new key. Every token verifies with the key that was registered when it was issued. If
 * this run is killed at any point, the next run continues.
 */

import type { AppStoreConnect } from '../../app-store-connect/client.ts';
import { hasCode, WebdistError } from '../../errors.ts';
import { fingerprint, fromSpki } from '../../jws.ts';
import { type Clock, systemClock } from '../clock.ts';
import type { RegistrationStore } from '../store-contract.ts';
import { type Change, type Journal, openJournal } from './journal.ts';
import { isUnfinished, type Notice } from './notice.ts';
import { reversed } from './plan.ts';
import { nextStep, type Registered } from './steps.ts';

type Apple = Pick<AppStoreConnect, 'appKey' | 'listKeys' | 'addKey' | 'removeKey'>;

export type RotateDeps = {
  readonly asc: Apple;
  readonly store: RegistrationStore;
  /** The notice that this run replaces. */
  readonly previous: Notice | undefined;
  /** Resolves when every server has read the announcement of this run. Throws `state_invalid` if one has not. */
  readonly readByAll: (run: string) => Promise<void>;
  /** Reports progress to the operator, line by line. */
  readonly report: (line: string) => void;
  readonly clock?: Clock;
};

type RunDeps = Required<RotateDeps> & { readonly journal: Journal };

/** Pauses after failures that may pass by themselves. Replicas do not sign during these pauses. */
const PAUSES_MS = [300, 600, 1200, 2400, 4800];

/**
 * Makes the change. Returns the id under which the new key is registered. Throws `asc_outage` if App Store Connect
 * keeps failing, so that another run must continue. If App Store Connect refuses the change, restores the old key and
 * throws the refusal. Throws `state_invalid` if another run has taken over.
 */
export async function rotate(change: Change, options: RotateDeps): Promise<string> {
  const clock = options.clock ?? systemClock;
  const journal = openJournal(options.store, options.previous, clock);
  const deps: RunDeps = { ...options, clock, journal };
  const { report } = options;
  try {
    // A half changed registration must not appear unchanged, in case this run dies too.
    if (!isUnfinished(options.previous)) {
      report('Announcing the change to the replicas.');
      await journal.enter('announced', change);
      await options.readByAll(journal.run);
    }
    const registered = await readRegistered(change, deps);
    const pausedAt = clock.elapsed();
    report('Pausing: replicas answer 503 with Retry-After until the change is done.');
    await journal.enter('switching', change);
    try {
      return await exchangeAndFinish(change, { ...registered, refusals: 0 }, { ...deps, pausedAt });
    } catch (error) {
      if (change.from === undefined || change.isRollback || hasCode(error, 'asc_outage', 'state_invalid')) throw error;
      report('App Store Connect refused the change; the old key stays or is restored.');
      const back = reversed(change, change.from);
      await exchangeAndFinish(back, { ...(await readRegistered(back, deps)), refusals: 0 }, { ...deps, pausedAt });
      throw error;
    }
  } finally {
    await journal.close();
  }
}

async function exchangeAndFinish(
  change: Change,
  registered: Registered,
  deps: RunDeps & { readonly pausedAt: number },
): Promise<string> {
  const { journal, report, clock, pausedAt } = deps;
  const keyId = await exchange(change, registered, deps);
  await storeKeyId(change, keyId, deps);
  await journal.finish({ ...change, to: { ...change.to, keyId } });
  const seconds = ((clock.elapsed() - pausedAt) / 1000).toFixed(1);
  report(`Replicas sign again, with the key ${keyId}. They were paused for up to ${seconds} s.`);
  return keyId;
}

/**
 * Returns which of the two keys are registered. A key of the account is never treated as the app's own, whatever Apple
 * reports.
 */
async function readRegistered(
  { scope, appleItemIds, from, to }: Change,
  { asc }: Pick<RunDeps, 'asc'>,
): Promise<Omit<Registered, 'refusals'>> {
  const keys = await asc.listKeys({ app: scope === 'app' });
  const [appleItemId = ''] = appleItemIds;
  const appKey = scope === 'app' ? await asc.appKey(appleItemId) : null;
  const isOther = (key: (typeof keys)[number]) =>
    key.spki !== to.spki && (key.spki === from?.spki || key.id === appKey?.id);
  return {
    targetId: keys.find((key) => key.spki === to.spki)?.id,
    otherIds: keys.filter(isOther).map((key) => key.id),
  };
}

/** Takes steps until only the new key is registered. Apple's responses are trusted, and verified at the end. */
async function exchange(change: Change, initial: Registered, deps: RunDeps): Promise<string> {
  const { asc, journal, report, clock } = deps;
  let registered = initial;
  let failures = 0;
  for (;;) {
    const step = nextStep(registered);
    await journal.renew();
    try {
      if (step.act === 'finish') {
        await verify(change, step.keyId, asc);
        return step.keyId;
      }
      if (step.act === 'remove') {
        report(`Removing the key ${step.keyId}.`);
        await remove(step.keyId, asc);
        registered = { ...registered, otherIds: registered.otherIds.filter((id) => id !== step.keyId), refusals: 0 };
      } else {
        report(`Adding the key ${fingerprint(change.to.spki)}.`);
        registered = { ...registered, targetId: await add(change, asc) };
      }
    } catch (error) {
      if (step.act === 'add' && hasCode(error, 'asc_conflict')) {
        report('App Store Connect does not accept the key yet.');
        registered = { ...registered, refusals: registered.refusals + 1 };
        if (step.isLast) throw error;
        if (registered.otherIds.length > 0) continue;
        await clock.sleep(PAUSES_MS[registered.refusals] ?? 0);
      } else {
        const pauseMs = PAUSES_MS[failures++];
        if (!hasCode(error, 'asc_outage') || pauseMs === undefined) throw error;
        report('App Store Connect failed; reading what is registered.');
        await clock.sleep(pauseMs);
      }
      registered = { ...registered, ...(await readRegistered(change, deps)) };
    }
  }
}

async function add({ scope, appleItemIds, to }: Change, asc: Apple): Promise<string> {
  const [appleItemId] = appleItemIds;
  const { id } = await asc.addKey({ publicKey: fromSpki(to.spki), ...(scope === 'app' && { appleItemId }) });
  return id;
}

/** A key that is already gone counts as removed. */
async function remove(keyId: string, asc: Apple): Promise<void> {
  try {
    await asc.removeKey(keyId);
  } catch (error) {
    if (!hasCode(error, 'asc_not_found')) throw error;
  }
}

/** Throws `asc_outage` if App Store Connect does not report the key that it accepted. */
async function verify(change: Change, keyId: string, asc: Apple): Promise<void> {
  const { scope, appleItemIds, to } = change;
  const [appleItemId = ''] = appleItemIds;
  const keys = scope === 'app' ? [await asc.appKey(appleItemId)] : await asc.listKeys({ app: false });
  if (keys.some((key) => key?.id === keyId && key.spki === to.spki)) return;
  throw new WebdistError('asc_outage', `App Store Connect does not report the key ${keyId} yet.`, {
    hint: 'Run the same command again.',
  });
}

/** Stores the new key id, so that a replica that starts while Apple is down knows it. */
async function storeKeyId({ appleItemIds, to: { spki } }: Change, keyId: string, deps: RunDeps): Promise<void> {
  const { store, clock } = deps;
  const seenAt = new Date(clock.now()).toISOString();
  const changed = appleItemIds.map((appleItemId) => [appleItemId, { keyId, spki, seenAt }]);
  await store.save({ ...(await store.load()), ...Object.fromEntries(changed) });
}
