/**
 * Plans a rotation: which registered key, of one app or of the account, is replaced by which key, and whether an
 * earlier rotation must be finished first. Changes nothing.
 */

import type { AppStoreConnect } from '../../app-store-connect/client.ts';
import type { AppConfig, Config } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { fingerprint } from '../../jws.ts';
import type { RegistrationStore } from '../store-contract.ts';
import type { Change } from './journal.ts';
import { isUnfinished, type Notice } from './notice.ts';

type Apple = Pick<AppStoreConnect, 'appKey' | 'listKeys'>;

export type Wanted = {
  readonly config: Pick<Config, 'apps' | 'keyScope'>;
  readonly app: AppConfig;
  /** The public half to register, SPKI DER as base64. */
  readonly to: string;
  /** The public halves that the candidates of the app hold, in the same form. */
  readonly held: readonly string[];
};

/**
 * Returns the change that registers the new key, or the rest of the previous change if that is the same change. Returns
 * undefined if the key is already registered. Throws `state_invalid` if another rotation is unfinished, `asc_conflict`
 * if the key is registered for something else, and what App Store Connect throws.
 */
export async function planChange(
  wanted: Wanted,
  previous: Notice | undefined,
  { asc, store }: { readonly asc: Apple; readonly store: Pick<RegistrationStore, 'load'> },
): Promise<Change | undefined> {
  const { app, config, to } = wanted;
  if (isUnfinished(previous)) return continuation(previous, wanted);
  const [appKey, accountKeys] = await Promise.all([asc.appKey(app.appleItemId), asc.listKeys({ app: false })]);
  const knownId = (await store.load())[app.appleItemId]?.keyId;
  const isOwn = appKey !== null && !accountKeys.some((key) => key.id === appKey.id);
  const accountKey =
    accountKeys.find((key) => key.id === (appKey?.id ?? knownId)) ??
    accountKeys.find((key) => key.spki !== undefined && wanted.held.includes(key.spki));
  const current = isOwn ? appKey : accountKey;
  if (current?.spki === to) return undefined;
  const scope = current === undefined ? config.keyScope : isOwn ? 'app' : 'account';
  const same = (await asc.listKeys()).find((key) => key.spki === to);
  if (same && !(scope === 'account' && accountKeys.some((key) => key.id === same.id)))
    throw new WebdistError('asc_conflict', `The new key is registered already, as ${same.id}, for something else.`, {
      hint: 'Create another one with `webdist keygen`; `webdist keys list` shows the app that has this one.',
    });
  const users = scope === 'app' ? [app] : await usersOf(current?.id, wanted, asc);
  return {
    scope,
    appleItemIds: users.map((one) => one.appleItemId),
    from: current?.spki === undefined ? undefined : { spki: current.spki },
    to: { spki: to },
    isRollback: false,
  };
}

/**
 * Returns the change that undoes the previous change, or the rest of the previous change if that is itself a rollback.
 * Throws `usage_invalid` if there is nothing to undo.
 */
export function planRollback(previous: Notice | undefined): Change {
  if (isUnfinished(previous) && previous.isRollback) return previous;
  if (!previous || previous.phase === 'announced' || previous.isRollback || !previous.from)
    throw new WebdistError('usage_invalid', 'There is no rotation to roll back.');
  return reversed(previous, previous.from);
}

/** Returns the change that undoes a change. No overlap is planned for it yet. */
export const reversed = (change: Change, from: { readonly spki: string }): Change => ({
  ...change,
  overlapSeconds: undefined,
  overlapSince: undefined,
  from: change.to,
  to: { spki: from.spki },
  isRollback: true,
});

/**
 * Returns the change with its overlap in seconds: the requested one, otherwise the one with which it was begun, otherwise
 * the lifetime of a token. Throws `usage_invalid` if an overlap is requested for the key of one app, because an app has
 * only one key (docs/apple-facts.md §6.4).
 */
export function withOverlap(
  change: Change,
  {
    requested,
    tokenLifetimeSeconds,
  }: { readonly requested: number | undefined; readonly tokenLifetimeSeconds: number },
): Change {
  if (change.scope === 'account')
    return { ...change, overlapSeconds: requested ?? change.overlapSeconds ?? tokenLifetimeSeconds };
  if (!requested) return change;
  throw new WebdistError(
    'usage_invalid',
    '--overlap works only for a key of the account, and the registered key is of one app.',
    { hint: 'Leave --overlap out. An app has one key at a time, so the old key is removed at once.' },
  );
}

function continuation(previous: Notice, { app, to }: Wanted): Notice {
  if (previous.to.spki === to && previous.appleItemIds.includes(app.appleItemId)) return previous;
  throw new WebdistError(
    'state_invalid',
    `The rotation to the key ${fingerprint(previous.to.spki)} was not finished.`,
    {
      hint: previous.isRollback
        ? 'Finish it with --rollback.'
        : 'Finish it by passing that key to --to, or undo it with --rollback.',
    },
  );
}

/**
 * Returns all apps of this configuration that sign with a key of the account, because they have no key of their own.
 */
async function usersOf(keyId: string | undefined, { config, app }: Wanted, asc: Apple): Promise<AppConfig[]> {
  const users = [app];
  for (const other of config.apps) {
    if (other === app) continue;
    const own = await asc.appKey(other.appleItemId);
    if (own === null || own.id === keyId) users.push(other);
  }
  return users;
}
