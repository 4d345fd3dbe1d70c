/**
 * Replaces one registered key with another while replicas are signing. The replicas pause, the registration changes,
 * and the replicas sign with the new key. Every token verifies with the key that was registered when it was issued. With
 * an overlap, the old key is removed only after the replicas have signed with the new one for that time. If this run is
 * killed at any point, the next run continues.
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
 * throws the refusal. Once the replicas sign with the new key, nothing is restored: another run must continue. Throws
 * `state_invalid` if another run has taken over, or if the new key was removed during the overlap.
 */
export async function rotate(change: Change, options: RotateDeps): Promise<string> {
  const clock = options.clock ?? systemClock;
  const journal = openJournal(options.store, options.previous, clock);
  const deps: RunDeps = { ...options, clock, journal };
  const { report } = options;
  try {
    if (isInOverlap(change, options.previous)) {
      report('The replicas sign with the new key already.');
      await journal.enter('overlap', change);
      await options.readByAll(journal.run);
      return await endOverlap(change, deps);
    }
    // If the registration is half changed, the notice must not say that nothing was changed, in case this run dies too.
    if (!isUnfinished(options.previous)) {
      report('Announcing the change to the replicas.');
      await journal.enter('announced', change);
      await options.readByAll(journal.run);
    }
    const registered = await readRegistered(change, deps);
    const pausedAt = clock.elapsed();
    let switched: Switched;
    report('Pausing: replicas answer 503 with Retry-After until the change is done.');
    await journal.enter('switching', change);
    try {
      switched = await switchOver(change, registered, { ...deps, pausedAt });
    } catch (error) {
      if (change.from === undefined || change.isRollback || hasCode(error, 'asc_outage', 'state_invalid')) throw error;
      report('App Store Connect refused the change; the old key stays or is restored.');
      const back = reversed(change, change.from);
      await switchOver(back, await readRegistered(back, deps), { ...deps, pausedAt });
      throw error;
    }
    return switched.hasOverlap ? await endOverlap(switched.change, deps) : switched.keyId;
  } finally {
    await journal.close();
  }
}

/** True if an earlier run of the same change completed everything but the removal of the old key. */
const isInOverlap = (change: Change, previous: Notice | undefined): boolean =>
  previous?.phase === 'overlap' && previous.to.spki === change.to.spki;

/** `hasOverlap`: the old key is still registered. */
type Switched = { readonly change: Change; readonly keyId: string; readonly hasOverlap: boolean };

/** Registers the new key, and lets the replicas sign with it. */
async function switchOver(
  change: Change,
  registered: RegisteredNow,
  deps: RunDeps & { readonly pausedAt: number },
): Promise<Switched> {
  const { journal, report, clock, pausedAt } = deps;
  const keepsOthers = (change.overlapSeconds ?? 0) > 0;
  const { keyId, hasOthers } = await exchange(change, { ...registered, refusals: 0, keepsOthers }, deps);
  await storeKeyId(change, keyId, deps);
  const overlapSince = hasOthers ? new Date(clock.now()).toISOString() : undefined;
  const switched = { ...change, to: { ...change.to, keyId }, overlapSince };
  await (hasOthers ? journal.enter('overlap', switched) : journal.finish(switched));
  const seconds = ((clock.elapsed() - pausedAt) / 1000).toFixed(1);
  report(`Replicas sign again, with the key ${keyId}. They were paused for up to ${seconds} s.`);
  return { change: switched, keyId, hasOverlap: hasOthers };
}

/** Waits for the rest of the overlap, and removes the old key. Returns the id of the new key. */
async function endOverlap(change: Change, deps: RunDeps): Promise<string> {
  const { overlapSeconds = 0, overlapSince = '', to } = change;
  const { clock, journal, report } = deps;
  const leftMs = Date.parse(overlapSince) + overlapSeconds * 1000 - clock.now();
  // Another machine's clock may be behind.
  const waitMs = Math.min(Math.max(leftMs, 0), overlapSeconds * 1000);
  report(`The old key stays registered for another ${Math.ceil(waitMs / 1000)} s, for the tokens that it signed.`);
  await clock.sleep(waitMs);
  const registered = await readRegistered(change, deps);
  if (to.keyId === undefined || registered.targetId !== to.keyId)
    throw new WebdistError('state_invalid', 'The new key is no longer registered, so the old key was not removed.', {
      hint: 'Use --rollback to sign with the old key again.',
    });
  await exchange(change, { ...registered, refusals: 0, keepsOthers: false }, deps);
  await journal.finish(change);
  report('The rotation is complete.');
  return to.keyId;
}

/** The keys of a change that are registered now. */
type RegisteredNow = Pick<Registered, 'targetId' | 'otherIds'>;

/**
 * Returns which of the two keys are registered. A key of the account is never treated as the app's own, whatever Apple
 * reports.
 */
async function readRegistered(
  { scope, appleItemIds, from, to }: Change,
  { asc }: Pick<RunDeps, 'asc'>,
): Promise<RegisteredNow> {
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

/**
 * Takes steps until the new key is registered, and the old keys are not, unless they are to be kept. Apple's responses are
 * trusted, and verified at the end.
 */
async function exchange(
  change: Change,
  initial: Registered,
  deps: RunDeps,
): Promise<{ readonly keyId: string; readonly hasOthers: boolean }> {
  const { asc, journal, report, clock } = deps;
  let registered = initial;
  let failures = 0;
  for (;;) {
    const step = nextStep(registered);
    await journal.renew();
    try {
      if (step.act === 'finish') {
        await verify(change, step.keyId, asc);
        return { keyId: step.keyId, hasOthers: registered.otherIds.length > 0 };
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
        if (registered.keepsOthers && registered.otherIds.length > 0)
          report('There is no overlap: the old key must be removed first, and the tokens that it signed stop working.');
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
