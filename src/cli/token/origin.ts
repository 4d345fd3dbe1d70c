/**
 * Finds out whether a token was issued here. The nonce carries the token's app and minute, readable with the ledger's
 * secret.
 */

import { knownAppSettings, ledgerSettings, processSettings } from '../../config/config.ts';
import { isWebdistError } from '../../errors.ts';
import { openNonces } from '../../install-token/nonce.ts';
import { IAT_MARGIN_SECONDS } from '../../install-token/times.ts';
import { derivedKey, existingLedgerSecret } from '../../service/secret.ts';

/** `isOurs` is undefined without the ledger's secret, because it cannot be determined then. */
export type Origin = {
  readonly isOurs: boolean | undefined;
  /** For people. */
  readonly detail: string;
  readonly appleItemId?: string;
  readonly bundleId?: string;
  /** The start of the minute of issue, RFC 3339. */
  readonly issuedInMinute?: string;
};

/**
 * Takes a nonce, and the claims of its token if there is one. In that case, the token's app and time of issue must
 * match the nonce, so that the nonce of another token is detected. Without a token, the apps are those of the settings.
 */
export async function originOf(
  nonce: string,
  claims?: { readonly iss?: unknown; readonly iat?: unknown },
): Promise<Origin> {
  const secret = await ledgerSecretHere();
  if (secret === undefined)
    return {
      isOurs: undefined,
      detail:
        'unknown: the ledger secret is not available here (set WEBDIST_LEDGER_SECRET, or the WEBDIST_DATA_DIR of the service)',
    };
  const { apps } = knownAppSettings(processSettings());
  const appleItemIds = new Set(apps.map(({ appleItemId }) => appleItemId));
  if (typeof claims?.iss === 'string') appleItemIds.add(claims.iss);
  const record = openNonces(derivedKey(secret, 'nonce'), [...appleItemIds]).open(nonce, Date.now() / 1000);
  if (!record) {
    const orApp = claims ? '' : ', or for an app that is not in these settings';
    return { isOurs: false, detail: `not ours: the nonce was made with another ledger secret, or at random${orApp}` };
  }
  const { appleItemId, issuedAtSeconds } = record;
  const bundleId = apps.find((app) => app.appleItemId === appleItemId)?.bundleId;
  const issuedInMinute = new Date(issuedAtSeconds * 1000).toISOString().replace(':00.000Z', 'Z');
  const known = `app ${bundleId === undefined ? appleItemId : `${bundleId} (${appleItemId})`}, minute ${issuedInMinute}`;
  const found = { appleItemId, ...(bundleId !== undefined && { bundleId }), issuedInMinute };
  if (claims && !(claims.iss === appleItemId && isOfMinute(claims.iat, issuedAtSeconds)))
    return { isOurs: false, detail: `not ours: the nonce is of another token (${known})`, ...found };
  return { isOurs: true, detail: `ours: ${known}`, ...found };
}

const isOfMinute = (iat: unknown, minuteSeconds: number) =>
  typeof iat === 'number' && Math.floor((iat + IAT_MARGIN_SECONDS) / 60) * 60 === minuteSeconds;

/** Never generates a secret. Other settings may be invalid. */
async function ledgerSecretHere(): Promise<string | undefined> {
  try {
    const { dataDir, ledger } = ledgerSettings(processSettings());
    return ledger.secret ?? (await existingLedgerSecret(dataDir));
  } catch (error) {
    if (isWebdistError(error)) return undefined;
    throw error;
  }
}
