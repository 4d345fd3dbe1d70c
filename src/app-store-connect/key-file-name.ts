/**
 * The file names under which Apple offers its own keys for download (docs/apple-facts.md §7). Such a key has the same form
 * as a distribution key; only the name tells them apart.
 */

import { basename } from 'node:path';

/** `AuthKey` and `ApiKey` are App Store Connect API keys, `SubscriptionKey` is an In-App Purchase key. */
export type AppleKeyFile = { readonly kind: 'AuthKey' | 'ApiKey' | 'SubscriptionKey'; readonly keyId: string };

/** What the name of the file at a path says, or undefined when Apple does not use such a name. */
export function appleKeyFile(path: string): AppleKeyFile | undefined {
  const [, kind, keyId] = /^(AuthKey|ApiKey|SubscriptionKey)_([A-Za-z0-9]+)\.p8$/.exec(basename(path)) ?? [];
  return kind === undefined || keyId === undefined ? undefined : { kind: kind as AppleKeyFile['kind'], keyId };
}
