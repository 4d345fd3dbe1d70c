/** `webdist api-token`: makes a bearer JWT for Apple's server APIs with any of the three kinds of API keys (docs/apple-facts.md §7). */

import { type ApiKeyKind, BACKDATED_SECONDS, buildApiToken } from '../../app-store-connect/api-token.ts';
import { type AppleKeyFile, appleKeyFile } from '../../app-store-connect/key-file-name.ts';
import { apiKeySettings, processSettings } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { withKey } from '../app-store-connect.ts';
import { type JsonOption, print } from '../terminal.ts';

type Options = JsonOption & {
  readonly kind?: ApiKeyKind;
  readonly key?: string;
  readonly keyId?: string;
  readonly issuerId?: string;
  readonly bundleId?: string;
  readonly lifetime: number;
  readonly scope?: readonly string[];
  readonly curl?: boolean;
};

export async function printApiToken(options: Options): Promise<void> {
  const { lifetime: lifetimeSeconds, scope, curl, json } = options;
  const settings = apiKeySettings(processSettings());
  const locator = options.key ?? settings.privateKey;
  if (locator === undefined)
    throw new WebdistError('usage_invalid', 'No API key is given.', {
      hint: 'Use --key LOCATOR, or set ASC_PRIVATE_KEY.',
    });
  const file = appleKeyFile(locator);
  const kind = options.kind ?? kindOf(options, file, settings.issuerId);
  refuseUnused(options, kind);
  const request = {
    kind,
    issuerId: options.issuerId ?? settings.issuerId,
    bundleId: options.bundleId ?? settings.bundleId,
    // A short-lived one must not have expired already.
    issuedAtSeconds: Math.floor(Date.now() / 1000) - Math.min(BACKDATED_SECONDS, Math.floor(lifetimeSeconds / 2)),
    lifetimeSeconds,
    scope,
  };
  // The settings describe a different key than --key, so the file name of --key is the better source.
  const keyId = options.keyId ?? (options.key && file?.keyId) ?? settings.keyId ?? file?.keyId ?? '';
  const source = options.key === undefined ? settings.privateKeyVariable : '--key';
  const apiToken = await withKey(locator, source, (signer) => buildApiToken(signer, keyId, request));
  const expiresAt = new Date((request.issuedAtSeconds + lifetimeSeconds) * 1000).toISOString();
  const command = curlFor(apiToken, { kind, scope }, settings.baseUrl);
  print({ apiToken, kind, keyId, expiresAt, ...(curl && { curl: command }) }, json, [curl ? command : apiToken]);
}

/** Returns the kind of an API key, by the properties that only one kind has (docs/apple-facts.md §7). */
function kindOf(options: Options, file: AppleKeyFile | undefined, issuerId: string | undefined): ApiKeyKind {
  if (options.bundleId !== undefined || file?.kind === 'SubscriptionKey') return 'in-app-purchase';
  return (options.issuerId ?? issuerId) === undefined ? 'individual' : 'team';
}

/** Refuses options that this kind of JWT does not use. */
function refuseUnused({ issuerId, bundleId }: Options, kind: ApiKeyKind): void {
  if (kind === 'individual' && issuerId !== undefined)
    throw new WebdistError(
      'usage_invalid',
      'The JWT of an individual key must not have an issuer id; Apple refuses it.',
      {
        hint: 'Omit --issuer-id, or use --kind team.',
      },
    );
  if (kind !== 'in-app-purchase' && bundleId !== undefined)
    throw new WebdistError('usage_invalid', 'Only the JWT of an In-App Purchase key has a bundle id.', {
      hint: 'Omit --bundle-id, or use --kind in-app-purchase.',
    });
}

function curlFor(
  apiToken: string,
  { kind, scope }: { readonly kind: ApiKeyKind; readonly scope: readonly string[] | undefined },
  baseUrl: string,
): string {
  const path = scope?.[0]?.replace(/^GET /, '') ?? '/v1/apps?limit=1';
  const url =
    kind === 'in-app-purchase'
      ? 'https://api.storekit.apple.com/inApps/v1/subscriptions/TRANSACTION_ID'
      : `${baseUrl.replace(/\/$/, '')}${path}`;
  return `curl -sS -H 'Authorization: Bearer ${apiToken}' '${url.replaceAll("'", '%27')}'`;
}
