/**
 * The file names under which Apple offers its own keys for download (docs/apple-facts.md §7). Such a key has the same
 * form as a distribution key; only the name of the file distinguishes them.
 */

import { basename } from 'node:path';

/** `AuthKey` and `ApiKey` are App Store Connect API keys, `SubscriptionKey` is an In-App Purchase key. */
type AppleKeyKind = 'AuthKey' | 'ApiKey' | 'SubscriptionKey';

export type AppleKeyFile = { readonly name: string; readonly kind: AppleKeyKind; readonly keyId: string };

/** The kind and id of the Apple key that a `file:///` locator names, or undefined for any other file name. */
export function appleKeyFile(locator: string): AppleKeyFile | undefined {
  const name = locator.startsWith('file:') ? basename(locator) : '';
  const [, kind, keyId] = /^(AuthKey|ApiKey|SubscriptionKey)_([A-Za-z0-9]+)\.p8$/.exec(name) ?? [];
  return kind === undefined || keyId === undefined ? undefined : { name, kind: kind as AppleKeyKind, keyId };
}
