/** `webdist keys`: manages the alternative distribution keys at App Store Connect (docs/apple-facts.md §4.4). */

import type { KeyObject } from 'node:crypto';
import type { AppStoreConnect } from '../../app-store-connect/client.ts';
import type { App, RegisteredKey } from '../../app-store-connect/resources.ts';
import { only, processSettings } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { fingerprint, publicKeyPem, readPublicKey, spki } from '../../jws.ts';
import { withAppStoreConnect, withKey } from '../app-store-connect.ts';
import { type ChangeOptions, confirm, goesOn } from '../change.ts';
import { findApp } from '../find-app.ts';
import { readTextFile } from '../input.ts';
import { type JsonOption, print, say, table } from '../terminal.ts';
import { appsOfKeys } from './key-apps.ts';

type Scope = { readonly app?: string | undefined; readonly account?: boolean | undefined };
type KeyWithApp = { readonly key: RegisteredKey; readonly app: App | undefined; readonly scope: 'app' | 'account' };

export async function listKeys({ app, account, json }: Scope & JsonOption): Promise<void> {
  refuseBoth({ app, account });
  const found = await withAppStoreConnect('Fetching the keys', async (asc): Promise<KeyWithApp[]> => {
    if (app !== undefined) {
      const named = await findApp(asc, app);
      const key = await asc.appKey(named.appleItemId);
      return key ? [{ key, app: named, scope: 'app' }] : [];
    }
    const [forAll, forOne] = await Promise.all([
      asc.listKeys({ app: false }),
      account ? [] : asc.listKeys({ app: true }),
    ]);
    const owners = await appsOfKeys(asc, forOne);
    return [
      ...forOne.map((key) => ({ key, app: owners.get(key.id), scope: 'app' as const })),
      ...forAll.map((key) => ({ key, app: undefined, scope: 'account' as const })),
    ];
  });
  print(
    found.map(described),
    json,
    found.length === 0
      ? ['No keys are registered.']
      : table(
          ['ID', 'FOR', 'FINGERPRINT'],
          found.map((one) => [one.key.id, ownerOf(one), fingerprintOf(one.key)]),
        ),
  );
}

export async function showKey(id: string, { json }: JsonOption): Promise<void> {
  const found = await withAppStoreConnect('Fetching the key', async (asc): Promise<KeyWithApp> => {
    const key = await asc.readKey(id);
    const isForOne = (await asc.listKeys({ app: true })).some((one) => one.id === id);
    const app = isForOne ? (await appsOfKeys(asc, [key])).get(id) : undefined;
    return { key, app, scope: isForOne ? 'app' : 'account' };
  });
  const { publicKey } = found.key;
  print(described(found), json, [
    `id           ${found.key.id}`,
    `for          ${ownerOf(found)}`,
    `fingerprint  ${fingerprintOf(found.key)}`,
    ...(publicKey ? publicKeyPem(publicKey).trimEnd().split('\n') : ['The public half cannot be read.']),
  ]);
}

type AddOptions = Scope & ChangeOptions & { readonly key?: string; readonly public?: string };

export async function addKey(options: AddOptions): Promise<void> {
  refuseBoth(options);
  const read = processSettings();
  const settings = only(['WEBDIST_KEY', 'WEBDIST_BUNDLE_ID', 'WEBDIST_KEY_SCOPE'], read);
  const isForAll = options.account ?? (options.app === undefined && settings.WEBDIST_KEY_SCOPE === 'account');
  const name = options.app ?? settings.WEBDIST_BUNDLE_ID;
  if (!isForAll && name === undefined)
    throw new WebdistError('usage_invalid', 'It is not clear whether the key is for one app or for the account.', {
      hint: 'Use --app APP or --account.',
    });
  const publicKey = await publicHalf(options, settings.WEBDIST_KEY?.[0], read.given.get('WEBDIST_KEY'));
  const added = await withAppStoreConnect('Registering the key', async (asc) => {
    const app = isForAll || name === undefined ? undefined : await findApp(asc, name);
    const scope: KeyWithApp['scope'] = app ? 'app' : 'account';
    const existing = await registeredKey(asc, publicKey, app);
    if (existing) return { key: existing, app, scope, isNew: false };
    const action = `register ${fingerprint(spki(publicKey))} for ${app ? app.bundleId : 'all apps of the account'}`;
    if (!(await goesOn({ action }, options))) return undefined;
    return { key: await asc.addKey({ publicKey, appleItemId: app?.appleItemId }), app, scope, isNew: true };
  });
  if (!added) return;
  const { isNew, ...found } = added;
  if (!isNew) say('This key is already registered; nothing was changed.');
  print(described(found), options.json, [
    `id           ${found.key.id}`,
    `for          ${ownerOf(found)}`,
    `fingerprint  ${fingerprintOf(found.key)}`,
  ]);
}

export async function removeKey(id: string, options: ChangeOptions): Promise<void> {
  const key = await withAppStoreConnect('Fetching the key', (asc) => asc.readKey(id));
  const effect = 'Devices then refuse the tokens that it signed.';
  if (!(await confirm({ action: `remove the key ${id} (${fingerprintOf(key)})`, effect }, options))) return;
  await withAppStoreConnect('Removing the key', (asc) => asc.removeKey(id));
  print({ removed: id }, options.json, [`removed  ${id}`]);
}

/** Returns the public half to register, from an option or the settings. */
async function publicHalf(
  options: AddOptions,
  configured: string | undefined,
  variable = 'WEBDIST_KEY',
): Promise<KeyObject> {
  if (options.key !== undefined && options.public !== undefined)
    throw new WebdistError('usage_invalid', 'Use --key or --public, not both.');
  if (options.public !== undefined) return readPublicKey(await readTextFile(options.public));
  const locator = options.key ?? configured;
  if (locator === undefined)
    throw new WebdistError('usage_invalid', 'No key is given.', {
      hint: 'Use --key LOCATOR or --public FILE, or set WEBDIST_KEY.',
    });
  return withKey(locator, options.key === undefined ? variable : '--key', async ({ publicKey }) => publicKey);
}

/**
 * Returns the key with this public half if it is already registered for the app (without an app: for the account).
 * Throws `asc_conflict` if it is registered for something else. The message names the key's id, which Apple's own
 * refusal does not.
 */
async function registeredKey(
  asc: AppStoreConnect,
  publicKey: KeyObject,
  app: App | undefined,
): Promise<RegisteredKey | undefined> {
  const same = (await asc.listKeys()).find((key) => key.publicKey?.equals(publicKey));
  if (!same) return undefined;
  const keys = app ? [await asc.appKey(app.appleItemId)] : await asc.listKeys({ app: false });
  if (keys.some((key) => key?.id === same.id)) return same;
  throw new WebdistError('asc_conflict', `This public half is already registered for another app, as ${same.id}.`, {
    hint: 'Run `webdist keys list` to see which app.',
  });
}

function refuseBoth({ app, account }: Scope): void {
  if (app !== undefined && account) throw new WebdistError('usage_invalid', 'Use --app or --account, not both.');
}

const fingerprintOf = (key: RegisteredKey) => (key.spki === undefined ? 'unreadable' : fingerprint(key.spki));

const ownerOf = ({ app, scope }: KeyWithApp) =>
  scope === 'account' ? 'all apps' : app ? `${app.bundleId} (${app.appleItemId})` : 'one app (unknown)';

const described = ({ key, app, scope }: KeyWithApp) => ({
  id: key.id,
  scope,
  app: app ? { appleItemId: app.appleItemId, bundleId: app.bundleId } : null,
  fingerprint: key.spki === undefined ? null : fingerprint(key.spki),
  publicKey: key.publicKey ? publicKeyPem(key.publicKey) : null,
});
