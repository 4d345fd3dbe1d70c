/**
 * Reads the account for one check in few requests. Lists cover all apps at once (docs/apple-facts.md §4.3, §4.4). Only
 * apps for which the lists are not conclusive are requested one by one. After a response that the hourly limit is used
 * up, no more requests are sent.
 */

import { hasCode } from '../errors.ts';
import type { AppStoreConnect } from './client.ts';
import type { RegisteredKey } from './resources.ts';

/**
 * An app to check. `held` are the app's public halves, SPKI in base64. `keyId` is the key last known to be registered
 * for the app.
 */
export type CheckedApp = {
  readonly appleItemId: string;
  readonly bundleId: string;
  readonly held: readonly string[];
  readonly keyId: string | undefined;
};

/** The requests to App Store Connect that a check needs. They throw what the client throws. */
export type Account = Pick<
  AppStoreConnect,
  'findApps' | 'appKey' | 'listKeys' | 'addKey' | 'listDomains' | 'addDomain'
>;

export interface AccountViews {
  /** Returns the account for one check of these apps. Sends nothing yet. */
  open(asc: Account, apps: readonly CheckedApp[]): Account;
}

/**
 * A list of keys does not say which app a key belongs to. So each check also requests the keys of this many apps, in
 * turn. Otherwise, a second key of an app would not be noticed while the first is still there.
 */
const APPS_IN_TURN = 8;

/** Remembers the apps' own keys from one check to the next. */
export function openAccountViews(): AccountViews {
  /** Key id by AppleItemID; null if the app has no key of its own. */
  const ownKeyIds = new Map<string, string | null>();
  let turn = 0;
  return {
    open(asc, apps) {
      const send = untilLimit();
      const inTurn = new Set<string>();
      for (let count = Math.min(APPS_IN_TURN, apps.length); count > 0; count--)
        inTurn.add(apps[turn++ % apps.length]?.appleItemId ?? '');
      /** Apps for which a key was added after the lists were read. */
      const changed = new Set<string>();
      const appsFound = once(() => send(() => asc.findApps(...apps.map(({ bundleId }) => bundleId))));
      const ownKeys = once(() => send(() => asc.listKeys({ app: true })));
      const accountKeys = once(() => send(() => asc.listKeys({ app: false })));

      /** Returns the app's own key according to the lists; undefined if the lists do not determine it. */
      const listed = async ({ appleItemId, held, keyId }: CheckedApp): Promise<RegisteredKey | null | undefined> => {
        if (changed.has(appleItemId)) return undefined;
        const keys = await ownKeys.read();
        const known = ownKeyIds.has(appleItemId) ? ownKeyIds.get(appleItemId) : keyId;
        if (keys.length === 0 && !known) return null;
        if (inTurn.has(appleItemId)) return undefined;
        const key = keys.find(({ id }) => id === known);
        if (key || known === undefined) return key;
        const hadNone = known === null || (await accountKeys.read()).some(({ id }) => id === known);
        const mayHaveOne = keys.some(({ spki }) => spki !== undefined && held.includes(spki));
        return hadNone && !mayHaveOne ? null : undefined;
      };
      return {
        async findApps(...bundleIds) {
          return (await appsFound.read()).filter(({ bundleId }) => bundleIds.includes(bundleId));
        },
        async appKey(appleItemId) {
          const app = apps.find((one) => one.appleItemId === appleItemId);
          const found = app && (await listed(app));
          if (found !== undefined) return found;
          const key = await send(() => asc.appKey(appleItemId));
          ownKeyIds.set(appleItemId, key?.id ?? null);
          inTurn.delete(appleItemId);
          return key;
        },
        listKeys: ({ app } = {}) => (app === false ? accountKeys.read() : send(() => asc.listKeys({ app }))),
        addKey(key) {
          if (key.appleItemId === undefined) accountKeys.forget();
          else changed.add(key.appleItemId);
          return send(() => asc.addKey(key));
        },
        listDomains: () => send(() => asc.listDomains()),
        addDomain: (domain) => send(() => asc.addDomain(domain)),
      };
    },
  };
}

/**
 * Sends requests until a response says that the hourly limit is used up. After that, throws the same error without
 * sending.
 */
function untilLimit() {
  let limit: unknown;
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (limit !== undefined) throw limit;
    try {
      return await work();
    } catch (error) {
      if (hasCode(error, 'asc_rate')) limit = error;
      throw error;
    }
  };
}

function once<T>(work: () => Promise<T>) {
  let result: Promise<T> | undefined;
  return {
    read() {
      result ??= work();
      return result;
    },
    forget() {
      result = undefined;
    },
  };
}
