/**
 * Puts one registered key in the place of another while replicas are signing: they stop, the registration changes,
 * they sign with the new key. Every token handed out verifies under the key that was registered when it was issued.
 * Killed anywhere, the next run goes on.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { AppStoreConnect } from '../../app-store-connect/client.ts';
import { fingerprint } from '../../app-store-connect/register.ts';
import { hasCode, WebdistError } from '../../errors.ts';
import { fromSpki } from '../../jws.ts';
import type { Memory } from '../store.ts';
import { type Change, type Journal, openJournal } from './journal.ts';
import { isUnfinished, type Notice } from './notice.ts';
import { nextStep, type Standing } from './steps.ts';

type Apple = Pick<AppStoreConnect, 'appKey' | 'listKeys' | 'addKey' | 'removeKey'>;

export type RotateParts = {
  readonly asc: Apple;
  readonly memory: Memory;
  /** The notice that this run replaces. */
  readonly left: Notice | undefined;
  /** Tells the operator what happens. */
  readonly say: (line: string) => void;
};

/** Pauses after failures that may pass; replicas do not sign meanwhile. */
const PAUSES_MS = [300, 600, 1200, 2400, 4800];

/**
 * Makes the change and gives the id under which the new key is registered. Throws `asc_outage` when App Store Connect
 * fails for long (then the next run goes on), anything else that it refuses with after the old key is back in its place,
 * and `state_invalid` when another run has taken over.
 */
export async function rotate(change: Change, parts: RotateParts): Promise<string> {
  const { asc, memory, say } = parts;
  const journal = openJournal(memory, parts.left);
  const end = async (change: Change, keyId: string) => {
    await remember(change, keyId, memory);
    await journal.finish({ ...change, to: { ...change.to, keyId } });
    say(`Replicas sign again, with the key ${keyId}. They were told to pause ${seconds(pausedAt)} s ago.`);
  };
  let pausedAt = 0;
  try {
    // What was left half changed must not look untouched, should this run die too.
    if (!isUnfinished(parts.left)) {
      say('Telling the replicas that the key will change.');
      await journal.enter('announced', change);
    }
    const standing = await look(change, asc);
    pausedAt = performance.now();
    say('Pausing: until the end replicas answer 503 with Retry-After.');
    await journal.enter('switching', change);
    try {
      const keyId = await exchange(change, standing, { ...parts, journal });
      await end(change, keyId);
      return keyId;
    } catch (error) {
      if (change.from === undefined || change.isRollback || hasCode(error, 'asc_outage', 'state_invalid')) throw error;
      say('That was refused; the old key stays, or comes back.');
      const back = reversed(change, change.from);
      await end(back, await exchange(back, await look(back, asc), { ...parts, journal }));
      throw error;
    }
  } finally {
    await journal.close();
  }
}

/** The change that undoes a change. */
export const reversed = (change: Change, from: { readonly spki: string }): Change => ({
  ...change,
  from: change.to,
  to: { spki: from.spki },
  isRollback: true,
});

const seconds = (sinceMs: number) => ((performance.now() - sinceMs) / 1000).toFixed(1);

type Registered = Omit<Standing, 'refusals'>;

/** What is registered of both keys. A key of the account is never taken for one of the app, whatever Apple calls it. */
async function look({ scope, appleItemIds, from, to }: Change, asc: Apple): Promise<Registered> {
  const keys = await asc.listKeys({ app: scope === 'app' });
  const [appleItemId = ''] = appleItemIds;
  const appKey = scope === 'app' ? await asc.appKey(appleItemId) : null;
  const isOther = (key: (typeof keys)[number]) =>
    key.spki !== to.spki && (key.spki === from?.spki || key.id === appKey?.id);
  return {
    targetId: keys.find((key) => key.spki === to.spki)?.id,
    otherIds: keys.filter((key) => isOther(key)).map((key) => key.id),
  };
}

/** Step by step until the new key alone is there. The answers of Apple are believed, and read again at the end. */
async function exchange(
  change: Change,
  registered: Registered,
  { asc, journal, say }: RotateParts & { readonly journal: Journal },
): Promise<string> {
  let standing: Standing = { ...registered, refusals: 0 };
  let failures = 0;
  for (;;) {
    const step = nextStep(standing);
    await journal.hold();
    try {
      if (step.act === 'finish') {
        await verify(change, step.keyId, asc);
        return step.keyId;
      }
      if (step.act === 'remove') {
        say(`Removing the key ${step.keyId}.`);
        await remove(step.keyId, asc);
        standing = { ...standing, otherIds: standing.otherIds.filter((id) => id !== step.keyId), refusals: 0 };
      } else {
        say(`Adding the key ${fingerprint(change.to.spki)}.`);
        standing = { ...standing, targetId: await add(change, asc) };
      }
    } catch (error) {
      if (step.act === 'add' && hasCode(error, 'asc_conflict')) {
        say('App Store Connect does not take it as things are.');
        standing = { ...standing, refusals: standing.refusals + 1 };
        if (step.isLast) throw error;
        if (standing.otherIds.length > 0) continue;
        await delay(PAUSES_MS[standing.refusals]);
        standing = { ...standing, ...(await look(change, asc)) };
        continue;
      }
      const pauseMs = PAUSES_MS[failures++];
      if (!hasCode(error, 'asc_outage') || pauseMs === undefined) throw error;
      say('App Store Connect did not answer as it should; asking it what is there.');
      await delay(pauseMs);
      standing = { ...standing, ...(await look(change, asc)) };
    }
  }
}

async function add({ scope, appleItemIds, to }: Change, asc: Apple): Promise<string> {
  const [appleItemId] = appleItemIds;
  const { id } = await asc.addKey({ publicKey: fromSpki(to.spki), ...(scope === 'app' && { appleItemId }) });
  return id;
}

/** Gone is gone, whoever did it. */
async function remove(keyId: string, asc: Apple): Promise<void> {
  try {
    await asc.removeKey(keyId);
  } catch (error) {
    if (!hasCode(error, 'asc_not_found')) throw error;
  }
}

/** Throws `asc_outage` when App Store Connect does not report the key that it has taken. */
async function verify(change: Change, keyId: string, asc: Apple): Promise<void> {
  const { scope, appleItemIds, to } = change;
  const [appleItemId = ''] = appleItemIds;
  const keys = scope === 'app' ? [await asc.appKey(appleItemId)] : await asc.listKeys({ app: false });
  if (keys.some((key) => key?.id === keyId && key.spki === to.spki)) return;
  throw new WebdistError('asc_outage', `App Store Connect does not report the key ${keyId} yet.`, {
    hint: 'Run the same command again.',
  });
}

/** So that a replica that starts while Apple is down knows the new key id. */
async function remember({ appleItemIds, to: { spki } }: Change, keyId: string, memory: Memory): Promise<void> {
  const seenAt = new Date().toISOString();
  const changed = appleItemIds.map((appleItemId) => [appleItemId, { keyId, spki, seenAt }]);
  await memory.save({ ...(await memory.load()), ...Object.fromEntries(changed) });
}
