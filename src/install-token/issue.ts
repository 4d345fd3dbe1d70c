/** The use case everything goes through: find the key, decide `dtype`, make the claims, sign them. */

import { WebdistError } from '../errors.ts';
import { type SigningKey, signCompact } from '../jws.ts';
import type { LedgerEntry } from '../ledger/contract.ts';
import type { Evidence } from '../ledger/rule.ts';
import { claimsFor, type Dtype } from './claims.ts';
import { newNonce } from './nonce.ts';

/** One request to install one app. */
export type Install = {
  readonly app: { readonly appleItemId: string; readonly bundleId: string };
  /** Keyed hash of what stands for the device; without one nothing is remembered. */
  readonly subject?: string | undefined;
  /** Said by an authenticated caller; otherwise the ledger decides. */
  readonly dtype?: Dtype | undefined;
  /** What the request itself shows of an install; default: that a token was issued. */
  readonly evidence?: Evidence | undefined;
  readonly appleVersionId?: string | undefined;
  readonly country?: string | undefined;
};

/** An install verification token, and what was put into it. Times in seconds since 1970. */
export type Issued = {
  readonly installToken: string;
  readonly dtype: Dtype;
  readonly keyId: string;
  readonly nonce: string;
  readonly issuedAtSeconds: number;
  readonly expiresAtSeconds: number;
};

/** What `issue` works with. */
export type IssueParts = {
  /** The key that signs for an app now. Throws `not_registered`. */
  keyFor(app: Install['app']): Promise<SigningKey>;
  /** Decides the `dtype` of one token and remembers it. Throws `ledger_unavailable`. */
  dtypeFor(entry: LedgerEntry): Promise<Dtype>;
  /** Milliseconds since 1970. */
  now(): number;
  readonly lifetimeSeconds: number;
};

/** Issues one token. Throws `not_registered`, `ledger_unavailable` or `signer_unavailable`. */
export async function issue(install: Install, parts: IssueParts): Promise<Issued> {
  const key = await parts.keyFor(install.app);
  const issuedAtSeconds = Math.floor(parts.now() / 1000);
  const entry = { ...install, nonce: newNonce(), issuedAtSeconds };
  const dtype = await parts.dtypeFor(entry);
  const claims = claimsFor({ ...entry, dtype, lifetimeSeconds: parts.lifetimeSeconds });
  const installToken = await signCompact(key, claims);
  // Signing can take its time, and the key may have been replaced meanwhile.
  if ((await parts.keyFor(install.app)).keyId !== key.keyId)
    throw new WebdistError('not_registered', 'The distribution key was replaced just now.', { retryAfterSeconds: 1 });
  return {
    installToken,
    dtype,
    keyId: key.keyId,
    nonce: entry.nonce,
    issuedAtSeconds: claims.iat,
    expiresAtSeconds: claims.exp,
  };
}
