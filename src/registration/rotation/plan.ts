/**
 * What a change of keys is to be: which registered key, of one app or of all, is replaced by which; whether a change
 * that was begun before has to be ended first. Changes nothing.
 */

import type { AppStoreConnect } from '../../app-store-connect/client.ts';
import { fingerprint } from '../../app-store-connect/register.ts';
import type { AppConfig, Config } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import type { Memory } from '../store.ts';
import type { Change } from './journal.ts';
import { isUnfinished, type Notice } from './notice.ts';
import { reversed } from './rotate.ts';

type Apple = Pick<AppStoreConnect, 'appKey' | 'listKeys'>;

export type Wanted = {
  readonly config: Pick<Config, 'apps' | 'keyScope'>;
  readonly app: AppConfig;
  /** The public half to register, SPKI DER as base64. */
  readonly to: string;
  /** The public halves that the candidates of the app hold. */
  readonly held: readonly string[];
};

/**
 * The change that brings a new key; the rest of the one begun before when that is the same. Undefined when the key is
 * registered already. Throws `state_invalid` for another unfinished change, `asc_conflict` when the key is registered for
 * something else, or what App Store Connect throws.
 */
export async function planChange(wanted: Wanted, left: Notice | undefined, parts: { asc: Apple; memory: Memory }) {
  const { app, config, to } = wanted;
  if (isUnfinished(left)) {
    if (left.to.spki === to && left.appleItemIds.includes(app.appleItemId)) return left;
    throw new WebdistError('state_invalid', `A change to the key ${fingerprint(left.to.spki)} was not finished.`, {
      hint: left.isRollback
        ? 'Finish it with --rollback.'
        : 'Finish it by giving --to that key, or undo it with --rollback.',
    });
  }
  const { asc, memory } = parts;
  const [appKey, accountKeys] = await Promise.all([asc.appKey(app.appleItemId), asc.listKeys({ app: false })]);
  const known = (await memory.load())[app.appleItemId]?.keyId;
  const isOwn = appKey !== null && !accountKeys.some((key) => key.id === appKey.id);
  const accountKey =
    accountKeys.find((key) => key.id === (appKey?.id ?? known)) ??
    accountKeys.find((key) => key.spki !== undefined && wanted.held.includes(key.spki));
  const current = isOwn ? appKey : accountKey;
  if (current?.spki === to) return undefined;
  const scope = current === undefined ? config.keyScope : isOwn ? 'app' : 'account';
  const elsewhere = (await asc.listKeys()).find((key) => key.spki === to);
  if (elsewhere && !(scope === 'account' && accountKeys.some((key) => key.id === elsewhere.id)))
    throw new WebdistError(
      'asc_conflict',
      `The new key is registered already, as ${elsewhere.id}, for something else.`,
      {
        hint: 'Make another with `webdist keygen`; `webdist keys list` says what that one is for.',
      },
    );
  const users = scope === 'app' ? [app] : await usersOf(current?.id, wanted, asc);
  const from = current?.spki === undefined ? undefined : { spki: current.spki };
  const change: Change = {
    scope,
    appleItemIds: users.map((one) => one.appleItemId),
    from,
    to: { spki: to },
    isRollback: false,
  };
  return change;
}

/**
 * The change that undoes the one begun or made before; the rest of that when it is one already.
 * Throws `usage_invalid` when there is nothing to undo.
 */
export function planRollback(left: Notice | undefined): Change {
  if (isUnfinished(left) && left.isRollback) return left;
  if (!left || left.phase === 'announced' || left.isRollback || !left.from)
    throw new WebdistError('usage_invalid', 'There is no change of a key to roll back.');
  return reversed(left, left.from);
}

/** All apps of this configuration that sign with a key of the account: those without a key of their own. */
async function usersOf(keyId: string | undefined, { config, app }: Wanted, asc: Apple): Promise<AppConfig[]> {
  const users = [app];
  for (const other of config.apps) {
    if (other === app) continue;
    const own = await asc.appKey(other.appleItemId);
    if (own === null || own.id === keyId) users.push(other);
  }
  return users;
}
