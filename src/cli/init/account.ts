/** Reads from App Store Connect the app, the key that is registered for it, and the domains. */

import type { App, RegisteredDomain, RegisteredKey } from '../../app-store-connect/resources.ts';
import type { Environment } from '../../environment.ts';
import { WebdistError } from '../../errors.ts';
import { isWithinDomain } from '../../host.ts';
import { fingerprint, spki } from '../../jws.ts';
import { withAppStoreConnect } from '../app-store-connect.ts';
import { findApp } from '../find-app.ts';
import { isInteractive, say, table } from '../terminal.ts';
import type { PlannedKey } from './keys.ts';
import { answerTo } from './known.ts';

export type Account = {
  readonly app: App;
  /** The key that is registered for this app alone. */
  readonly appKey: RegisteredKey | null;
  readonly accountKeys: readonly RegisteredKey[];
  readonly domains: readonly RegisteredDomain[];
};

/** Reads the account, with the ASC_* settings in `env`. Throws `asc_…`, `key_*` and `usage_invalid`. */
export async function readAccount(wanted: string | undefined, env: Environment): Promise<Account> {
  const app = await withAppStoreConnect(
    'Fetching the app',
    async (asc) => (wanted === undefined ? asc.listApps() : [await findApp(asc, wanted)]),
    env,
  ).then(chosen);
  return withAppStoreConnect(
    'Fetching keys and domains',
    async (asc) => ({
      app,
      appKey: await asc.appKey(app.appleItemId),
      accountKeys: await asc.listKeys({ app: false }),
      domains: await asc.listDomains(),
    }),
    env,
  );
}

async function chosen(apps: readonly App[]): Promise<App> {
  const [only, ...others] = apps;
  if (!only) throw new WebdistError('asc_not_found', 'The API key has access to no app.');
  if (others.length === 0) return only;
  if (!isInteractive())
    throw new WebdistError('usage_invalid', 'The account has several apps.', {
      hint: `Use --app with one of: ${apps.map(({ bundleId }) => bundleId).join(', ')}.`,
    });
  for (const line of table(
    ['', 'NAME', 'BUNDLE ID'],
    apps.map(({ name, bundleId }, index) => [`${index + 1}`, name, bundleId]),
  ))
    say(typeof line === 'string' ? line : line.start);
  for (;;) {
    const answer = await answerTo({ text: 'Which app' }, '1');
    const app = apps[Number(answer) - 1] ?? apps.find(({ name, bundleId }) => [name, bundleId].includes(answer));
    if (app) return app;
  }
}

type Line = { readonly result: 'ok' | 'info' | 'warn'; readonly text: string };

/**
 * Compares the account with the key and the domain that will be used. Throws `different_key_registered`, because no
 * device would accept a token that is signed with another key.
 */
export function compare(
  { app, appKey, accountKeys, domains }: Account,
  domain: string,
  { publicKey, isNew }: PlannedKey,
): readonly Line[] {
  const own = publicKey && spki(publicKey);
  const registered = [appKey, ...accountKeys].find((key) => key?.spki !== undefined && key.spki === own);
  if (appKey && appKey.id !== registered?.id && (publicKey !== undefined || isNew))
    throw new WebdistError(
      'different_key_registered',
      `${app.bundleId} has another key at App Store Connect: ${appKey.id} (${appKey.spki ? fingerprint(appKey.spki) : 'unreadable'}).`,
      {
        hint: `Pass its private half with --key. If it is lost, remove the registered key: webdist keys remove ${appKey.id}`,
      },
    );
  const covering = domains.find((one) => isWithinDomain(domain, one.domain));
  return [
    { result: 'ok', text: `app      ${app.name ?? ''} ${app.bundleId}, AppleItemID ${app.appleItemId}` },
    registered
      ? { result: 'ok', text: `key      registered as ${registered.id}` }
      : { result: 'info', text: 'key      not registered yet; the service registers it when it starts' },
    covering
      ? { result: 'ok', text: `domain   ${domain} is covered by ${covering.domain}` }
      : { result: 'info', text: `domain   ${domain} is not registered yet; the service registers it when it starts` },
  ];
}
