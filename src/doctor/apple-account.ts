/** Reads from App Store Connect, once, everything that the checks compare. */

import { type AppStoreConnect, openAppStoreConnect } from '../app-store-connect/client.ts';
import type { RateLimit } from '../app-store-connect/observations.ts';
import type { StoreVersion } from '../app-store-connect/packages.ts';
import type { App, RegisteredDomain, RegisteredKey } from '../app-store-connect/resources.ts';
import type { AppConfig, Config } from '../config/config.ts';
import { hasCode, toWebdistError, WebdistError } from '../errors.ts';
import type { Signer } from '../jws.ts';
import { openLog } from '../log.ts';

/** The account as far as it could be read; nothing is read after the first `problem`. */
export type AppleAccount = {
  readonly problem: WebdistError | undefined;
  /** By bundle id. */
  readonly apps: ReadonlyMap<string, readonly App[]>;
  /** By AppleItemID; null if the app has no key of its own. */
  readonly appKeys: ReadonlyMap<string, RegisteredKey | null>;
  readonly keys: readonly RegisteredKey[];
  readonly accountKeys: readonly RegisteredKey[];
  readonly domains: readonly RegisteredDomain[];
  /** The versions in the App Store by AppleItemID; none if the API key may not read them. */
  readonly versions: ReadonlyMap<string, readonly StoreVersion[]>;
  readonly clockOffsetSeconds: number | undefined;
  readonly rateLimit: RateLimit | undefined;
};

/** Shorter than a service's timeout, because a person is waiting. */
const retryPolicy = { attemptTimeoutMs: 5000, totalTimeoutMs: 15_000, retries: 1, backoffMs: 200 };

/** Reads the account. Never throws: the first error becomes the account's `problem`. */
export async function readAppleAccount(
  { apps }: Config,
  settings: NonNullable<Config['appStoreConnect']>,
  signer: Signer,
): Promise<AppleAccount> {
  const asc = openAppStoreConnect({ ...settings, signer, log: openLog('silent'), retryPolicy });
  const account = {
    problem: undefined as WebdistError | undefined,
    apps: new Map<string, readonly App[]>(),
    appKeys: new Map<string, RegisteredKey | null>(),
    keys: [] as readonly RegisteredKey[],
    accountKeys: [] as readonly RegisteredKey[],
    domains: [] as readonly RegisteredDomain[],
    versions: new Map<string, readonly StoreVersion[]>(),
  };
  try {
    for (const { bundleId } of apps) account.apps.set(bundleId, await asc.findApps(bundleId));
    account.keys = await asc.listKeys();
    account.accountKeys = await asc.listKeys({ app: false });
    account.domains = await asc.listDomains();
    for (const app of apps.filter((one) => isKnown(one, account.apps))) {
      account.appKeys.set(app.appleItemId, await appKey(asc, app));
      account.versions.set(app.appleItemId, await versionsOf(asc, app));
    }
  } catch (error) {
    account.problem = (await otherKind(error, settings, signer)) ?? asProblem(error);
  } finally {
    asc.close();
  }
  const { clockOffsetSeconds, rateLimit } = asc;
  return { ...account, clockOffsetSeconds, rateLimit };
}

/**
 * Apple refuses a wrong id, issuer or key with the same answer. But a key that is accepted without an issuer id is an
 * individual key (docs/apple-facts.md §7).
 */
async function otherKind(
  error: unknown,
  settings: NonNullable<Config['appStoreConnect']>,
  signer: Signer,
): Promise<WebdistError | undefined> {
  if (!hasCode(error, 'asc_credentials') || settings.issuerId === undefined) return undefined;
  const asc = openAppStoreConnect({ ...settings, issuerId: undefined, signer, log: openLog('silent'), retryPolicy });
  try {
    await asc.listApps();
    return new WebdistError('asc_credentials', 'ASC_ISSUER_ID is set, but the API key is an individual key.', {
      hint: 'Unset ASC_ISSUER_ID, or use a team key.',
    });
  } catch {
    // Refused in this way, too, so the first refusal is reported.
    return undefined;
  } finally {
    asc.close();
  }
}

/** Whether App Store Connect has the app under both of its ids. */
export const isKnown = ({ bundleId, appleItemId }: AppConfig, known: AppleAccount['apps']): boolean =>
  known.get(bundleId)?.some((app) => app.appleItemId === appleItemId) ?? false;

const appKey = (asc: AppStoreConnect, { appleItemId }: AppConfig) => asc.appKey(appleItemId);

/** A key that only registers keys and domains need not be able to read versions. */
const versionsOf = (asc: AppStoreConnect, { appleItemId }: AppConfig) =>
  asc.packages.storeVersions(appleItemId).catch((error): StoreVersion[] => {
    if (!hasCode(error, 'asc_role')) throw error;
    return [];
  });

/** Turns any other error into an `internal_error`. */
export const asProblem = (error: unknown): WebdistError =>
  toWebdistError(error, 'internal_error', 'An unexpected error occurred.');
